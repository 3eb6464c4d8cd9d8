"""The inside of a transmission device: its detectors, its clock, and its answers to the centre.

Source: GB/T 26875.3-2011, 6.2 (control), 6.4 (queries), 8.1 (types of data units), 8.2 (objects).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from firmware_sim.clock import SHANGHAI, Clock
from firmware_sim.uitd import frames
from firmware_sim.uitd.frames import Command, ComponentKey, Frame

RUNNING: Final = 0x0001
FIRE: Final = 0x0002
FAULT: Final = 0x0004
OPERATIONS_KEPT: Final = 127
SELF_TEST: Final = 0x10
DUTY_ANSWER: Final = 0x20
UP_TYPES: Final = {61: 1, 62: 2, 64: 4, 65: 5, 66: 6, 68: 8, 81: 21, 84: 24, 85: 25, 86: 26, 88: 28}


@dataclass(slots=True)
class Component:
    """One detector behind the device; `state` has the bits of table 8."""

    device_id: str
    key: ComponentKey
    kind: int
    text: str
    state: int = RUNNING


class Panel:
    """What a transmission device knows. It builds application data and never touches the network."""

    def __init__(self, address: int, components: Sequence[Component], clock: Clock) -> None:
        self.address = address
        self.components = {component.device_id: component for component in components}
        self.operations: deque[bytes] = deque(maxlen=OPERATIONS_KEPT)
        self.has_dead_clock = False
        self.is_in_test = False
        self.clock_offset_ms = 0
        self._clock = clock
        self._by_key = {component.key: component for component in components}

    def time(self) -> bytes:
        """Give the device's own time; a dead clock stands at its beginning."""
        if self.has_dead_clock:
            return frames.DEAD_CLOCK
        return frames.time_bytes(self._clock.now_ms() + self.clock_offset_ms)

    def set_clock(self, raw: bytes) -> bool:
        """Set the clock from 6 bytes; False when they are no time."""
        try:
            second, minute, hour, day, month, year = raw
            wanted = datetime(2000 + year, month, day, hour, minute, second, tzinfo=SHANGHAI)
        except ValueError:
            return False
        self.clock_offset_ms = round(wanted.timestamp() * 1000) - self._clock.now_ms()
        return True

    def one_state(self, component: Component) -> bytes:
        """Give the data unit (type 2) with the state of one detector."""
        return frames.app_unit(2, [self._state_object(component)])

    def all_states(self) -> list[bytes]:
        """Give the data units (type 2, at most 22 objects each) with the states of all detectors."""
        objects = [self._state_object(component) for component in self.components.values()]
        return [
            frames.app_unit(2, part) for part in frames.chunks(objects, frames.STATES_PER_FRAME)
        ]

    def own_state(self) -> bytes:
        """Give the data unit (type 21) with the state of the device itself: normal watch."""
        return frames.app_unit(21, [bytes([0 if self.is_in_test else 1]) + self.time()])

    def note_operation(self, flags: int, operator: int = 1) -> bytes:
        """Remember that somebody pressed a key, and give the data unit (type 24) that tells it."""
        record = bytes([flags, operator]) + self.time()
        self.operations.append(record)
        return frames.app_unit(24, [record])

    def facility_operation(self, component: Component, flags: int, operator: int = 1) -> bytes:
        """Give the data unit (type 4): an operation at the fire panel of a detector's system."""
        key = component.key
        return frames.app_unit(
            4, [frames.operation(key.system, key.system_address, flags, operator, self.time())]
        )

    def reply(self, request: Frame) -> Frame:
        """Answer a frame of the centre: the data asked for, a confirmation, or a denial."""
        app = request.app
        command, unit = Command.DENY, b""
        if request.command in {Command.CONTROL, Command.REQUEST} and len(app) >= 2:
            if app[0] in {89, 90, 91}:
                is_done = app[0] != 90 or self.set_clock(app[2:8])
                command = Command.CONFIRM if is_done else Command.DENY
            else:
                unit = self._data_for(app)
                command = Command.ANSWER if unit else Command.DENY
        return self.frame(request.serial, command, unit, request.source)

    def frame(self, serial: int, command: int, app: bytes, target: int) -> Frame:
        """Address a frame to the centre, with the device's own time."""
        return Frame(serial, self.address, target, command, app, self.time())

    def _data_for(self, app: bytes) -> bytes:
        asked, body = app[0], app[2:]
        up = UP_TYPES.get(asked)
        if up is None:
            return b""
        if asked == 62:
            return self._asked_states(app[1], body)
        if asked == 81:
            return self.own_state()
        if asked == 84:
            kept = list(self.operations)[-(body[0] if body else 1) :]
            return frames.app_unit(24, kept) if kept else b""
        if asked in {85, 86, 88}:
            text = "LINLI-SIM".encode("gb18030")
            objects = {85: b"\x01\x00", 86: bytes([len(text)]) + text, 88: self.time()}
            return frames.app_unit(up, [objects[asked]])
        if len(body) < 2:
            return b""
        return frames.app_unit(up, [self._facility_object(asked, body[0], body[1])])

    def _facility_object(self, asked: int, system: int, address: int) -> bytes:
        head = bytes([system, address])
        text = "SIM".encode("gb18030")
        match asked:
            case 61:
                return frames.system_state(system, address, self._system_bits(), self.time())
            case 64:
                return frames.operation(system, address, 0x40, 1, self.time())
            case 65:
                return head + b"\x01\x00"
            case 66:
                return head + bytes([len(text)]) + text
        return head + self.time()

    def _system_bits(self) -> int:
        bits = RUNNING
        for component in self.components.values():
            bits |= component.state & (FIRE | FAULT)
        return bits

    def _asked_states(self, count: int, body: bytes) -> bytes:
        objects = []
        for index in range(min(count, frames.STATES_PER_FRAME)):
            raw = body[index * 6 : index * 6 + 6]
            if len(raw) < 6:
                return b""
            zone, point = int.from_bytes(raw[2:4], "little"), int.from_bytes(raw[4:6], "little")
            component = self._by_key.get(ComponentKey(raw[0], raw[1], zone, point))
            if component is not None:
                objects.append(self._state_object(component))
        return frames.app_unit(2, objects) if objects else b""

    def _state_object(self, component: Component) -> bytes:
        state = component.state & ~RUNNING if self.is_in_test else component.state
        return frames.component_state(
            component.key, component.kind, state, component.text, self.time()
        )
