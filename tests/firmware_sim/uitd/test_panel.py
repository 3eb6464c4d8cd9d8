from typing import Any

import pytest

from firmware_sim.uitd.frames import Command, ComponentKey, Frame
from firmware_sim.uitd.panel import FIRE, RUNNING, Component, Panel


@pytest.fixture
def panel(clock: Any) -> Panel:
    parts = [
        Component(f"smoke-{n}", ComponentKey(1, 1, 1 + n // 10, n), 40, f"探测器{n}")
        for n in range(50)
    ]
    return Panel(10_001, parts, clock)


def asked(panel: Panel, command: int, app: str) -> Frame:
    return panel.reply(Frame(9, 1, 10_001, command, bytes.fromhex(app)))


def test_all_states_go_in_frames_of_at_most_22(panel: Panel) -> None:
    units = panel.all_states()
    assert [unit[1] for unit in units] == [22, 22, 6]
    assert all(unit[0] == 2 and len(unit) == 2 + 46 * unit[1] for unit in units)


@pytest.mark.parametrize(
    ("app", "kind", "size"),
    [
        ("3D010101", 1, 12),
        ("41010101", 5, 6),
        ("44010101", 8, 10),
        ("510100", 21, 9),
        ("550100", 25, 4),
        ("560100", 26, 12),
        ("580100", 28, 8),
    ],
)
def test_a_query_is_answered_with_its_data(panel: Panel, app: str, kind: int, size: int) -> None:
    answer = asked(panel, Command.REQUEST, app)
    assert (answer.command, answer.serial, answer.target) == (Command.ANSWER, 9, 1)
    assert answer.app[:2] == bytes([kind, 1])
    assert len(answer.app) == size


def test_the_components_asked_for_are_answered(panel: Panel) -> None:
    panel.components["smoke-12"].state |= FIRE
    answer = asked(panel, Command.REQUEST, "3E02" + "0101" + "02000C00" + "0101" + "63000000")
    assert answer.app[:2] == b"\x02\x01"  # the second one does not exist
    assert answer.app[2:11] == bytes([1, 1, 40, 2, 0, 12, 0, RUNNING | FIRE, 0])


def test_the_clock_can_be_set(panel: Panel) -> None:
    answer = asked(panel, Command.CONTROL, "5A01" + "050009020715")
    assert (answer.command, answer.app) == (Command.CONFIRM, b"")
    assert panel.time() == bytes.fromhex("050009020715")


@pytest.mark.parametrize(
    "app", ["5A01" + "6363630D6315", "5A01", "6301", "3E0101", "3D01", "540101"]
)
def test_what_cannot_be_done_is_denied(panel: Panel, app: str) -> None:
    assert asked(panel, Command.REQUEST, app).command == Command.DENY


def test_operations_are_remembered(panel: Panel) -> None:
    panel.note_operation(0x20, 3)
    panel.note_operation(0x01, 4)
    answer = asked(panel, Command.REQUEST, "540102")
    assert answer.app[:2] == b"\x18\x02"
    assert (answer.app[2:4], answer.app[10:12]) == (b"\x20\x03", b"\x01\x04")


def test_a_dead_clock_and_the_test_bit_show(panel: Panel) -> None:
    panel.has_dead_clock = panel.is_in_test = True
    detector = panel.components["smoke-0"]
    detector.state = RUNNING | FIRE
    unit = panel.one_state(detector)
    assert unit[9:11] == bytes([FIRE, 0])
    assert unit[-6:] == bytes([0, 0, 0, 1, 1, 0])


def test_an_operation_at_a_facility_is_asked_for_by_its_system(panel: Panel) -> None:
    assert asked(panel, Command.REQUEST, "40010102").app[:4] == bytes([4, 1, 1, 2])
