import struct
from random import Random

import pytest

from firmware_sim.modbus.boards import (
    BOARDS,
    FloatBoard,
    GasBoard,
    LevelBoard,
    LoopBoard,
    PressureBoard,
)
from firmware_sim.modbus.faults import Fault, Faults
from firmware_sim.plant import KitchenAir, Steady


def steady(level: float) -> Steady:
    return Steady(Random(1), level)


@pytest.mark.parametrize(("level", "status"), [(0.4, 0), (10.0, 1), (19.96, 1), (20.0, 2), (61, 2)])
def test_a_gas_transmitter_says_how_bad_it_is(level: float, status: int) -> None:
    board = GasBoard(steady(level), Faults(), 1)
    board.sample(0)
    assert board.image.holding == {0: round(level * 10), 1: status}


def test_a_broken_gas_cell_is_a_fault_and_no_alarm() -> None:
    faults = Faults()
    faults.switch(Fault.SENSOR, on=True)
    board = GasBoard(steady(30), faults, 1)
    board.sample(0)
    assert board.image.holding[1] == 3


def test_a_pressure_board_reports_unit_decimals_and_value_in_one_block() -> None:
    board = PressureBoard(steady(351.2), Faults(), 9)
    board.sample(0)
    assert board.image.answer(bytes.fromhex("0300000007")).hex() == "030e" + "".join(
        f"{word:04x}" for word in (9, 3, 1, 1, 3512, 0, 16000)
    )


def test_a_level_board_reports_metres_of_water() -> None:
    board = LevelBoard(steady(2.5), Faults(), 1)
    board.sample(0)
    assert [board.image.holding[address] for address in (2, 3, 4)] == [7, 2, 250]


def test_a_pressure_below_the_atmosphere_is_negative() -> None:
    board = PressureBoard(steady(-1.5), Faults(), 1)
    board.sample(0)
    assert board.image.holding[4] == 0x10000 - 15


@pytest.mark.parametrize("is_other_batch", [False, True])
def test_float_batches_differ_in_word_order(*, is_other_batch: bool) -> None:
    faults = Faults()
    faults.switch(Fault.WORD_ORDER, on=is_other_batch)
    board = FloatBoard(steady(12.5), faults, 1)
    board.sample(0)
    words = struct.unpack(">HH", struct.pack(">f", 12.5))
    seen = (board.image.holding[0x16], board.image.holding[0x17])
    assert seen == (words if is_other_batch else words[::-1])


@pytest.mark.parametrize(
    ("fault", "low", "high"),
    [(None, 8000, 8000), (Fault.OPEN_LOOP, 0, 3599), (Fault.SENSOR, 21_001, 22_000)],
)
def test_a_loop_shows_its_faults_as_namur_says(fault: Fault | None, low: int, high: int) -> None:
    faults = Faults()
    if fault is not None:
        faults.switch(fault, on=True)
    board = LoopBoard(steady(400), faults, 1)
    board.sample(0)
    assert low <= board.image.inputs[0] <= high


def test_closing_the_valve_stops_the_leak_and_is_told() -> None:
    air = KitchenAir(Random(3))
    board = GasBoard(air, Faults(), 1)
    told: list[tuple[str, int]] = []
    board.on_output = lambda metric, value: told.append((metric, value))
    air.begin(1000)
    board.sample(1010)
    assert board.image.holding[1] == 2
    board.image.answer(bytes.fromhex("0500000000"))
    board.image.answer(bytes.fromhex("050001FF00"))
    board.sample(1040)
    assert board.image.holding[1] == 0
    assert told == [("valve_open", 0), ("sounder_on", 1)]


def test_the_valve_stays_shut_through_a_restart_and_the_sounder_falls_silent() -> None:
    board = GasBoard(steady(0), Faults(), 1)
    board.image.answer(bytes.fromhex("0500000000"))
    board.image.answer(bytes.fromhex("050001FF00"))
    board.set_up(1)
    assert board.image.coils == {0: 0, 1: 0}


def test_every_board_is_known_by_its_model() -> None:
    assert set(BOARDS) == {board.model for board in BOARDS.values()}
