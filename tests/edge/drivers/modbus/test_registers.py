import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.messages import Quality
from edge.drivers.modbus.registers import (
    CurrentLoop,
    Order,
    Scaling,
    ValueType,
    factor_of,
    fitting_orders,
    raw_number,
    registers_of,
    value_of,
    words_of,
)
from edge.errors import FrameError

# 123.456 as float32 is 42 F6 E9 79.
ORDERS = {
    Order.ABCD: [0x42F6, 0xE979],
    Order.CDAB: [0xE979, 0x42F6],
    Order.BADC: [0xF642, 0x79E9],
    Order.DCBA: [0x79E9, 0xF642],
}
LOOP = Scaling(loop=CurrentLoop(raw4=4000, raw20=20000, low=0, span=1600), low=0, high=1600)


@pytest.mark.parametrize("order", Order)
def test_each_order_puts_the_same_bytes_elsewhere(order: Order) -> None:
    assert raw_number(ORDERS[order], ValueType.FLOAT32, order) == pytest.approx(123.456, abs=1e-5)
    assert registers_of(123.456, ValueType.FLOAT32, order) == ORDERS[order]


@pytest.mark.parametrize(
    ("kind", "registers", "number"),
    [
        (ValueType.INT16, [0xFFFE], -2),
        (ValueType.UINT16, [0xFFFE], 65534),
        (ValueType.INT32, [0xFFFF, 0xFFFE], -2),
        (ValueType.UINT32, [0x0001, 0x0000], 65536),
        (ValueType.FLOAT64, [0x4005, 0xBF0A, 0x8B14, 0x5769], math.e),
    ],
)
def test_a_type_reads_its_registers(kind: ValueType, registers: list[int], number: float) -> None:
    assert raw_number(registers, kind) == pytest.approx(number)


@given(st.sampled_from(ValueType), st.sampled_from(Order), st.integers(0, 30000))
def test_what_is_written_reads_back(kind: ValueType, order: Order, number: int) -> None:
    assert raw_number(registers_of(number, kind, order), kind, order) == number


@given(st.lists(st.integers(-5, 70000), max_size=6), st.sampled_from(ValueType))
def test_any_registers_give_a_number_or_a_frame_error(words: list[int], kind: ValueType) -> None:
    fits = len(words) == words_of(kind) and all(0 <= word <= 65535 for word in words)
    if fits:
        assert isinstance(raw_number(words, kind), float)
    else:
        with pytest.raises(FrameError):
            raw_number(words, kind)


@pytest.mark.parametrize(
    ("raw", "value", "quality"),
    [
        (12000, 800.0, Quality.OK),
        (3599, None, Quality.SENSOR_FAULT),
        (3600, -40.0, Quality.OUT_OF_RANGE),
        (3800, -20.0, Quality.OK),
        (20600, 1660.0, Quality.OUT_OF_RANGE),
        (21000, 1700.0, Quality.OUT_OF_RANGE),
        (21001, None, Quality.SENSOR_FAULT),
        (0, None, Quality.SENSOR_FAULT),
    ],
)
def test_a_loop_outside_its_limits_is_a_fault_and_never_clamped(
    raw: int, value: float | None, quality: Quality
) -> None:
    found = value_of(raw, LOOP)
    assert (found.value, found.quality) == (value, quality)


@given(st.floats() | st.integers(0, 65535).map(float), st.sampled_from([LOOP, Scaling(0.1, 1)]))
def test_no_value_means_a_sensor_fault_and_nothing_else_does(raw: float, scaling: Scaling) -> None:
    found = value_of(raw, scaling)
    assert (found.value is None) == (found.quality is Quality.SENSOR_FAULT)
    assert found.value is None or math.isfinite(found.value)


def test_a_value_beyond_its_limits_is_kept_and_marked() -> None:
    scaling = Scaling(scale=0.1, low=0, high=100)
    assert value_of(217, scaling).value == 21.7
    assert value_of(1001, scaling).quality is Quality.OUT_OF_RANGE
    assert value_of(-1, scaling).quality is Quality.OUT_OF_RANGE


def test_the_devices_own_decimals_and_unit_scale_its_number() -> None:
    assert factor_of(3, 0, {0: 1000}) == pytest.approx(1)
    assert factor_of(None, None, {}) == 1
    assert factor_of(1, 9, {0: 1000}) is None
    assert factor_of(40000, None, {}) is None


def test_probing_leaves_the_orders_in_which_every_sample_is_plausible() -> None:
    samples = [list(struct.unpack(">2H", struct.pack("<f", 300.0 + n))) for n in range(5)]
    assert fitting_orders(samples, ValueType.FLOAT32, 50, 1600) == [Order.DCBA]
    assert fitting_orders([], ValueType.FLOAT32, 0, 1) == []
