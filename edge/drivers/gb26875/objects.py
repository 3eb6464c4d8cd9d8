"""Application data of GB/T 26875.3-2011, clause 8.3: objects as plain values, and the requests we send. Pure.

| offset | length | field |
| --- | --- | --- |
| 0 | 1 | type |
| 1 | 1 | number of objects |
| 2 | … | objects |

| type | object |
| --- | --- |
| 1 | system type, system address, state 2, time 6 |
| 2 | system type, system address, component type, component address 4, state 2, text 31, time 6 |
| 3 | system type, system address, component type, component address 4, analog type, value 2, time 6 |
| 4 | system type, system address, operations, operator, time 6 |
| 5 | system type, system address, main version, sub version |
| 6 | system type, system address, length, text |
| 7 | system type, system address, component type, component address 4, text 31 |
| 8 | system type, system address, time 6 |
| 21 | state, time 6 |
| 24 | operations, operator, time 6 |
| 25 | main version, sub version |
| 26 | length, text |
| 28 | time 6 |
| 61, 65, 66, 68 | system type, system address |
| 62, 63, 67 | system type, system address, component address 4 |
| 64 | system type, system address, number of records, from time 6 |
| 81, 85, 86, 88, 89 | reserved 1 |
| 84 | number of records, from time 6 |
| 90 | time 6 |
| 91 | minutes |

Numbers have their low byte first. A component address is printed by makers as zone (low half) and point (high half).
Texts are GB 18030, padded with NUL or spaces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge.drivers.gb26875.tables import (
    ANALOGS,
    COMPONENT_BITS,
    COMPONENTS,
    SYSTEM_BITS,
    SYSTEM_OPERATIONS,
    SYSTEMS,
    UITD_BITS,
    UITD_OPERATIONS,
    operations,
    state_bits,
)
from edge.drivers.gb26875.wall_time import WallTime

Fields = dict[str, Any]
_TEXT_SIZE: Final = 31


class _Reader:
    """Takes fields from bytes in order; running out is an IndexError."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise IndexError
        self.at += count
        return part

    def number(self, count: int = 1) -> int:
        return int.from_bytes(self.take(count), "little")


@dataclass(frozen=True, slots=True)
class App:
    """Application data taken apart.

    `objects` holds every whole object; `error` says what is wrong with the rest, empty when nothing is. `parts` are
    the bytes of each object.
    """

    type_flag: int | None
    objects: list[Fields]
    parts: list[bytes]
    error: str = ""


def decode_app(app: bytes, wall: WallTime) -> App:
    """Take application data apart; never raises, a truncated object is left out and told.

    Args:
        app: application data, may be empty (a heartbeat).
        wall: how the unit writes time.
    """
    if not app:
        return App(None, [], [])
    if len(app) < 2:
        return App(app[0], [], [], "no number of objects")
    type_flag, count = app[0], app[1]
    read = _READERS.get(type_flag)
    if read is None:
        kind = "user-defined" if 128 <= type_flag <= 254 else "reserved"
        return App(type_flag, [], [], f"type {type_flag} is {kind}")
    reader = _Reader(app[2:])
    objects: list[Fields] = []
    parts: list[bytes] = []
    for index in range(count):
        start = reader.at
        try:
            objects.append(read(reader, wall))
        except IndexError:
            return App(type_flag, objects, parts, f"object {index + 1} of {count} is cut short")
        parts.append(reader.data[start : reader.at])
    left = len(reader.data) - reader.at
    return App(type_flag, objects, parts, f"{left} bytes after the last object" if left else "")


def text_of(data: bytes) -> str:
    """Read a GB 18030 text up to its NUL, without the padding; bytes that are none become U+FFFD."""
    return data.split(b"\0", 1)[0].decode("gb18030", "replace").strip()


def _time(reader: _Reader, wall: WallTime) -> Fields:
    data = reader.take(6)
    moment = wall.read(data)
    return {
        "time": None if moment is None else moment.replace(tzinfo=None).isoformat(),
        "time_ms": wall.read_ms(data),
        "time_hex": data.hex().upper(),
    }


def _system(reader: _Reader) -> Fields:
    system_type = reader.number()
    return {
        "system_type": system_type,
        "system_name": SYSTEMS.get(system_type, "reserved"),
        "system_addr": reader.number(),
    }


def _component(reader: _Reader) -> Fields:
    address = reader.number(4)
    return {"component_addr": address, "zone": address & 0xFFFF, "point": address >> 16}


def _typed_component(reader: _Reader) -> Fields:
    system = _system(reader)
    kind = reader.number()
    name = COMPONENTS.get(kind, "reserved")
    return {**system, "component_type": kind, "component_name": name, **_component(reader)}


def _system_state(reader: _Reader, wall: WallTime) -> Fields:
    system = _system(reader)
    state = reader.number(2)
    return {**system, "state": state, "bits": state_bits(state, SYSTEM_BITS), **_time(reader, wall)}


def _component_state(reader: _Reader, wall: WallTime) -> Fields:
    component = _typed_component(reader)
    state = reader.number(2)
    return {
        **component,
        "state": state,
        "bits": state_bits(state, COMPONENT_BITS),
        "description": text_of(reader.take(_TEXT_SIZE)),
        **_time(reader, wall),
    }


def _component_analog(reader: _Reader, wall: WallTime) -> Fields:
    component = _typed_component(reader)
    kind = reader.number()
    raw = int.from_bytes(reader.take(2), "little", signed=True)
    analog = ANALOGS.get(kind)
    return {
        **component,
        "analog_type": kind,
        "raw": raw,
        "value": None if analog is None else round(raw * analog.step, 6),
        "unit": None if analog is None else analog.unit,
        **_time(reader, wall),
    }


def _operation(reader: _Reader, wall: WallTime, names: tuple[str, ...]) -> Fields:
    flags = reader.number()
    named = operations(flags, names)
    operator = reader.number()
    return {"op_flags": flags, "op": named, "operator": operator, **_time(reader, wall)}


def _version(reader: _Reader) -> Fields:
    return {"version": f"{reader.number()}.{reader.number()}"}


def _config(reader: _Reader) -> Fields:
    return {"config": text_of(reader.take(reader.number()))}


def _records(reader: _Reader, wall: WallTime) -> Fields:
    return {"records": reader.number(), **_time(reader, wall)}


def _reserved(reader: _Reader, _wall: WallTime) -> Fields:
    return {"reserved": reader.number()}


def _read_system(reader: _Reader, _wall: WallTime) -> Fields:
    return _system(reader)


def _read_component(reader: _Reader, _wall: WallTime) -> Fields:
    return {**_system(reader), **_component(reader)}


_READERS: Final[dict[int, Callable[[_Reader, WallTime], Fields]]] = {
    1: _system_state,
    2: _component_state,
    3: _component_analog,
    4: lambda reader, wall: {**_system(reader), **_operation(reader, wall, SYSTEM_OPERATIONS)},
    5: lambda reader, _: {**_system(reader), **_version(reader)},
    6: lambda reader, _: {**_system(reader), **_config(reader)},
    7: lambda reader, _: {
        **_typed_component(reader),
        "description": text_of(reader.take(_TEXT_SIZE)),
    },
    8: lambda reader, wall: {**_system(reader), **_time(reader, wall)},
    21: lambda reader, wall: {
        "state": (state := reader.number()),
        "bits": state_bits(state, UITD_BITS),
        **_time(reader, wall),
    },
    24: lambda reader, wall: _operation(reader, wall, UITD_OPERATIONS),
    25: lambda reader, _: _version(reader),
    26: lambda reader, _: _config(reader),
    28: _time,
    **dict.fromkeys((61, 65, 66, 68), _read_system),
    **dict.fromkeys((62, 63, 67), _read_component),
    64: lambda reader, wall: {**_system(reader), **_records(reader, wall)},
    **dict.fromkeys((81, 85, 86, 88, 89), _reserved),
    84: _records,
    90: _time,
    91: lambda reader, _: {"minutes": reader.number()},
}


def encode_systems(type_flag: int, systems: Sequence[tuple[int, int]]) -> bytes:
    """Write a request about systems (61, 65, 66, 68): (type, address) each.

    Raises:
        ValueError: more than 255 systems, or a number beyond its byte.
    """
    return bytes((type_flag, len(systems))) + b"".join(bytes(system) for system in systems)


def encode_components(type_flag: int, components: Sequence[tuple[int, int, int]]) -> bytes:
    """Write a request about components (62, 63, 67): (system type, system address, component address) each.

    Raises:
        ValueError: more than 170 components (the limit of 1024 bytes), or a number beyond its field.
    """
    if len(components) > 170:
        raise ValueError(f"{len(components)} components, at most 170 fit")
    try:
        parts = [
            bytes((kind, system)) + address.to_bytes(4, "little")
            for kind, system, address in components
        ]
    except OverflowError as error:
        raise ValueError(f"a component address is beyond four bytes: {error}") from None
    return bytes((type_flag, len(components))) + b"".join(parts)


def encode_records(
    type_flag: int, system: tuple[int, int] | None, records: int, since: bytes
) -> bytes:
    """Write a request for operation records: 64 of a system, 84 of the transmission device (system None)."""
    return bytes((type_flag, 1, *(system or ()), records)) + since


def encode_uitd(type_flag: int) -> bytes:
    """Write a request without content about the transmission device: 81, 85, 86, 88, or 89 to initialise it."""
    return bytes((type_flag, 1, 0))


def encode_set_time(time: bytes) -> bytes:
    """Write the order (90) to set the clock; `time` is six bytes."""
    return bytes((90, 1)) + time


def encode_duty_check(minutes: int) -> bytes:
    """Write the order (91) to ask whether somebody is on duty, to be answered within some minutes, 1 to 255."""
    return bytes((91, 1, minutes))
