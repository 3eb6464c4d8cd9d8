"""Registers to values and back: types, word orders, scales and 4-20 mA loops. Pure.

Modbus itself knows only 16-bit words, high byte first (Modbus Application Protocol V1.1b3, 4.2); how makers lay longer
values over them differs. A, B, C, D name the bytes of a value from the most significant down, in the order in which
they come over the line:

| order | 32-bit value on the line | 64-bit value: words |
| --- | --- | --- |
| ABCD | A B, C D | as written |
| CDAB | C D, A B | last word first |
| BADC | B A, D C | bytes of each word swapped |
| DCBA | D C, B A | last word first, bytes swapped |
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contract.messages import Quality
from edge.errors import FrameError

LOOP_FAULT_LOW_MA: Final = 3.6
LOOP_FAULT_HIGH_MA: Final = 21.0
_LOOP_RANGE_MA: Final = (3.8, 20.5)
_DECIMALS_LIMIT: Final = 6


class ValueType(StrEnum):
    """How the bytes of a value are read."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class Order(StrEnum):
    """In which order the bytes of a value come over the line."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


_FORMATS: Final = {
    ValueType.INT16: ">h",
    ValueType.UINT16: ">H",
    ValueType.INT32: ">i",
    ValueType.UINT32: ">I",
    ValueType.FLOAT32: ">f",
    ValueType.FLOAT64: ">d",
}


@dataclass(frozen=True, slots=True)
class CurrentLoop:
    """Counts of an input module for 4 mA and 20 mA, and what they stand for in the unit of the metric."""

    raw4: float
    raw20: float
    low: float
    span: float


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a raw number becomes a value: `raw * scale + offset`, or a current loop; limits in the unit of the metric."""

    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    loop: CurrentLoop | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A value in the unit of its metric; None exactly when the sensor is at fault."""

    value: float | None
    quality: Quality


def words_of(kind: ValueType) -> int:
    """Give how many registers a value takes."""
    return struct.calcsize(_FORMATS[kind]) // 2


def raw_number(registers: Sequence[int], kind: ValueType, order: Order = Order.ABCD) -> float:
    """Read the number that the registers hold.

    Args:
        registers: as many 16-bit words as the type takes, in line order.
        kind: type of the value.
        order: byte order on the line.

    Returns:
        The number; a float type may give an infinity or NaN.

    Raises:
        FrameError: not the number of registers the type takes, or a word beyond 16 bits.
    """
    if len(registers) != words_of(kind):
        raise FrameError(f"{kind.value} takes {words_of(kind)} registers, not {len(registers)}")
    words = reversed(registers) if order in {Order.CDAB, Order.DCBA} else registers
    try:
        data = b"".join(word.to_bytes(2, "big") for word in words)
    except OverflowError:
        raise FrameError("a register holds more than 16 bits") from None
    if order in {Order.BADC, Order.DCBA}:
        data = _swap_pairs(data)
    return float(struct.unpack(_FORMATS[kind], data)[0])


def registers_of(number: float, kind: ValueType, order: Order = Order.ABCD) -> list[int]:
    """Give the registers that hold a number, for writing.

    Raises:
        FrameError: the number does not fit the type.
    """
    code = _FORMATS[kind]
    try:
        whole = code[1] in "fd"
        data = struct.pack(code, number if whole else round(number))
    except (struct.error, OverflowError, ValueError):
        raise FrameError(f"{number} does not fit {kind.value}") from None
    if order in {Order.BADC, Order.DCBA}:
        data = _swap_pairs(data)
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    return words[::-1] if order in {Order.CDAB, Order.DCBA} else words


def _swap_pairs(data: bytes) -> bytes:
    swapped = bytearray(data)
    swapped[0::2], swapped[1::2] = data[1::2], data[0::2]
    return bytes(swapped)


def value_of(raw: float, scaling: Scaling) -> Value:
    """Turn a raw number into a value with its quality; nothing is clamped silently.

    A loop current below 3.6 mA or above 21 mA is a broken or shorted sensor (NAMUR NE 43), one outside 3.8 to 20.5 mA
    is saturated; a number that is not finite is a sensor fault.
    """
    if not math.isfinite(raw):
        return Value(None, Quality.SENSOR_FAULT)
    if scaling.loop is not None:
        return _loop_value(raw, scaling, scaling.loop)
    value = round(raw * scaling.scale + scaling.offset, 9)
    if not math.isfinite(value):
        return Value(None, Quality.SENSOR_FAULT)
    return Value(value, _range_quality(value, scaling))


def loop_current_ma(raw: float, loop: CurrentLoop) -> float:
    """Give the loop current in mA for a count of the input module."""
    return 4.0 + 16.0 * (raw - loop.raw4) / (loop.raw20 - loop.raw4)


def _loop_value(raw: float, scaling: Scaling, loop: CurrentLoop) -> Value:
    current_ma = round(loop_current_ma(raw, loop), 9)
    if not LOOP_FAULT_LOW_MA <= current_ma <= LOOP_FAULT_HIGH_MA:
        return Value(None, Quality.SENSOR_FAULT)
    share = (raw - loop.raw4) / (loop.raw20 - loop.raw4)
    value = round((share * loop.span + loop.low) * scaling.scale + scaling.offset, 9)
    if not _LOOP_RANGE_MA[0] <= current_ma <= _LOOP_RANGE_MA[1]:
        return Value(value, Quality.OUT_OF_RANGE)
    return Value(value, Quality.OK)


def _range_quality(value: float, scaling: Scaling) -> Quality:
    is_low = scaling.low is not None and value < scaling.low
    is_high = scaling.high is not None and value > scaling.high
    return Quality.OUT_OF_RANGE if is_low or is_high else Quality.OK


def factor_of(decimals: int | None, unit: int | None, units: Mapping[int, float]) -> float | None:
    """Give what a device's own decimals and unit code make of its number, or None when they make no sense.

    Args:
        decimals: register with the number of decimals, None when the device has none.
        unit: register with the unit code, None when the device has none.
        units: unit code to factor into the unit of the metric.
    """
    factor = 1.0
    if decimals is not None:
        if decimals > _DECIMALS_LIMIT:
            return None
        factor = 10.0**-decimals
    if unit is not None:
        if unit not in units:
            return None
        factor *= units[unit]
    return factor


def fitting_orders(
    samples: Sequence[Sequence[int]], kind: ValueType, low: float, high: float
) -> list[Order]:
    """Give the orders in which every sample lies in the expected range, for probing at commissioning.

    Args:
        samples: registers of several reads.
        kind: type of the value.
        low: least raw number that is plausible.
        high: greatest raw number that is plausible.

    Returns:
        Orders in the sequence of the table; empty when none fits; several when the samples do not tell them apart.
    """
    return [
        order
        for order in Order
        if samples and all(low <= raw_number(sample, kind, order) <= high for sample in samples)
    ]
