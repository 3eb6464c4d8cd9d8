"""The twins: a sensor on a line, a line, a detector, a transmission device; each carries out orders."""

import asyncio
from enum import StrEnum
from typing import Final, TypeVar

from firmware_sim.clock import Clock
from firmware_sim.errors import OrderError
from firmware_sim.modbus.faults import Fault as BusFault
from firmware_sim.modbus.line import Line, Slave
from firmware_sim.orders import Deed, Emit, Order
from firmware_sim.uitd.faults import Fault as UitdFault
from firmware_sim.uitd.link import Link
from firmware_sim.uitd.panel import FAULT, FIRE, RUNNING, Component, Panel

CHATTER_HZ: Final = 10
CHATTER_S: Final = 10.0
TEST_FLAGS: Final = 0x40
_Kind = TypeVar("_Kind", bound=StrEnum)


class SensorTwin:
    """One Modbus slave with its plant."""

    def __init__(self, slave: Slave, clock: Clock, emit: Emit) -> None:
        self.slave = slave
        self.is_hot = False
        self._clock = clock
        self._emit = emit
        self._is_told = True
        slave.board.on_output = self._output_set

    def carry_out(self, order: Order) -> None:
        """Begin or end an incident, or switch a fault."""
        match order.do:
            case Deed.GAS_LEAK | Deed.PRESSURE_LOSS | Deed.OVERFLOW:
                self._begin(order)
            case Deed.SILENCE:
                self.slave.faults.switch(BusFault.SILENT, on=order.on)
                self._sent("silence")
            case Deed.RESTORE:
                self.slave.faults.active.clear()
                self.slave.board.plant.end(self._clock.plant_s())
                self._is_told = True
                self._sent("restore")
            case Deed.FAULT:
                self._switch(order)
            case _:
                raise OrderError(f"{order.device}: a Modbus sensor cannot do {order.do}")

    def sample(self) -> None:
        """Measure once; tell when an incident has come to where it is dangerous."""
        board = self.slave.board
        value = board.sample(self._clock.plant_s())
        if not self._is_told and board.plant.is_reached(value):
            self._is_told = True
            self._sent(board.plant.incident, round(value, 3))

    def _begin(self, order: Order) -> None:
        plant = self.slave.board.plant
        if plant.incident != order.do:
            raise OrderError(f"{order.device}: knows {plant.incident}, not {order.do}")
        plant.begin(self._clock.plant_s())
        self.is_hot, self._is_told = True, False

    def _switch(self, order: Order) -> None:
        fault = _named(BusFault, order, BusFault.SENSOR)
        self.slave.faults.switch(fault, on=order.on, number=order.number)
        if fault is BusFault.RESTART and order.on:
            self.slave.board.set_up(self.slave.address)
            pause_s = self.slave.faults.active[BusFault.RESTART]
            asyncio.get_running_loop().call_later(
                pause_s, lambda: self.slave.faults.switch(BusFault.RESTART, on=False)
            )
        self.sample()
        self._sent(f"fault:{fault}")

    def _sent(self, what: str, value: float | None = None) -> None:
        facts = {} if value is None else {"value": value}
        self._emit("sent", device=self.slave.device_id, what=what, at=self._clock.now_ms(), **facts)

    def _output_set(self, metric: str, value: int) -> None:
        self._emit(
            "write",
            device=self.slave.device_id,
            metric=metric,
            value=value,
            at=self._clock.now_ms(),
        )


class LineTwin:
    """A whole bus, whose cable can be cut."""

    def __init__(self, line: Line, clock: Clock, emit: Emit) -> None:
        self._line = line
        self._clock = clock
        self._emit = emit

    def carry_out(self, order: Order) -> None:
        """Cut the cable or mend it."""
        if order.do not in {Deed.SILENCE, Deed.RESTORE}:
            raise OrderError(f"{order.device}: a line knows silence and restore, not {order.do}")
        self._line.is_cut = order.do is Deed.SILENCE and order.on
        self._emit("sent", device=order.device, what=str(order.do), at=self._clock.now_ms())


class UitdTwin:
    """A transmission device."""

    def __init__(self, link: Link, clock: Clock, emit: Emit) -> None:
        self.link = link
        self._clock = clock
        self._emit = emit

    def carry_out(self, order: Order) -> None:
        """Cut it off silently, switch a fault, or make it whole again."""
        match order.do:
            case Deed.SILENCE:
                self.link.switch(UitdFault.SILENT_CUT, on=order.on)
            case Deed.RESTORE:
                for fault in UitdFault:
                    self.link.switch(fault, on=False)
            case Deed.FAULT:
                fault = _named(UitdFault, order, UitdFault.LINK_LOST)
                self.link.switch(fault, on=order.on, number=order.number)
            case _:
                raise OrderError(f"{order.device}: a transmission device cannot do {order.do}")
        self._emit("sent", device=order.device, what=str(order.do), at=self._clock.now_ms())


class DetectorTwin:
    """One detector behind a transmission device."""

    def __init__(
        self, component: Component, panel: Panel, gateway: UitdTwin, clock: Clock, emit: Emit
    ) -> None:
        self._component = component
        self._panel = panel
        self._gateway = gateway
        self._clock = clock
        self._emit = emit
        self._chatter_left = 0

    def carry_out(self, order: Order) -> None:
        """Burn, fail, be tested, chatter, or be well again; link faults go to its transmission device."""
        match order.do:
            case Deed.FIRE:
                self._set(self._component.state | FIRE, "fire")
            case Deed.RESTORE:
                self._chatter_left = 0
                self._set(RUNNING, "restore")
            case Deed.SILENCE:
                # A fire panel notices within a second that a detector has left its loop.
                self._fail(on=order.on, what="silence")
            case Deed.TEST:
                self._test()
            case Deed.FLOOD:
                self._chatter_left = round((order.number or CHATTER_S) * CHATTER_HZ)
                self._chatter("flood")
            case Deed.FAULT if order.fault is None:
                self._fail(on=order.on, what="fault")
            case Deed.FAULT:
                self._gateway.carry_out(order)
            case _:
                raise OrderError(f"{order.device}: a smoke detector cannot do {order.do}")

    def _set(self, state: int, what: str | None) -> None:
        self._component.state = state
        self._gateway.link.tell(
            self._panel.one_state(self._component),
            is_fire=bool(state & FIRE),
            on_first_send=None if what is None else lambda: self._sent(what),
        )

    def _test(self) -> None:
        was_in_test, self._panel.is_in_test = self._panel.is_in_test, True
        self._gateway.link.tell(self._panel.facility_operation(self._component, TEST_FLAGS))
        self._set(RUNNING | FIRE, "test")
        self._set(RUNNING, None)
        self._panel.is_in_test = was_in_test

    def _fail(self, *, on: bool, what: str) -> None:
        state = self._component.state
        self._set(state | FAULT if on else state & ~FAULT, what)

    def _chatter(self, what: str | None) -> None:
        """Let a bad contact open and close; ends closed, so that the last word is `normal`."""
        self._chatter_left -= 1
        if self._chatter_left < 0:
            if self._component.state & FIRE:
                self._set(RUNNING, None)
            return
        self._set(self._component.state ^ FIRE, what)
        asyncio.get_running_loop().call_later(1 / CHATTER_HZ, self._chatter, None)

    def _sent(self, what: str) -> None:
        self._emit("sent", device=self._component.device_id, what=what, at=self._clock.now_ms())


def _named(kinds: type[_Kind], order: Order, otherwise: _Kind) -> _Kind:
    if order.fault is None:
        return otherwise
    try:
        return kinds(order.fault)
    except ValueError:
        known = ", ".join(kinds)
        raise OrderError(
            f"{order.device}: no fault is called {order.fault!r}; there are {known}"
        ) from None
