"""One gate, step by step: what each input and each second does to it."""

import ast
from pathlib import Path

import pytest

from cloud.alerts.gate import advance, expire
from cloud.alerts.model import LEGAL_PHASES, Gate, Phase, Priority
from cloud.alerts.rule import Level
from tests.architecture.test_doors import IMPURE, libraries

NORMAL, PENDING, ACTIVE, CLEARING = Phase.NORMAL, Phase.PENDING, Phase.ACTIVE, Phase.CLEARING
SLOW = Level(Priority.P2, for_ms=10, clear_ms=20)
QUICK = Level(Priority.P1)


@pytest.mark.parametrize(
    ("before", "level", "value", "after"),
    [
        (Gate(), SLOW, True, Gate(PENDING, 100, 1_010)),
        (Gate(), QUICK, True, Gate(ACTIVE, 100)),
        (Gate(), SLOW, False, Gate()),
        (Gate(), SLOW, None, Gate()),
        (Gate(PENDING, 95, 1_005), SLOW, True, Gate(PENDING, 95, 1_005)),
        (Gate(PENDING, 95, 1_005), SLOW, None, Gate(PENDING, 95, 1_005)),
        (Gate(PENDING, 95, 1_005), SLOW, False, Gate()),
        (Gate(ACTIVE, 50), SLOW, True, Gate(ACTIVE, 50)),
        (Gate(ACTIVE, 50), SLOW, None, Gate(ACTIVE, 50)),
        (Gate(ACTIVE, 50), SLOW, False, Gate(CLEARING, 100, 1_020)),
        (Gate(ACTIVE, 50), QUICK, False, Gate()),
        (Gate(CLEARING, 90, 1_010), SLOW, False, Gate(CLEARING, 90, 1_010)),
        (Gate(CLEARING, 90, 1_010), SLOW, None, Gate(CLEARING, 100, 1_020)),
        (Gate(CLEARING, 90, 1_010), SLOW, True, Gate(ACTIVE, 100)),
    ],
)
def test_an_input_moves_a_gate(before: Gate, level: Level, value: bool | None, after: Gate) -> None:
    moved = advance(before, level, value=value, at=100, now=1_000, late=False)
    assert moved == after
    assert moved.phase is before.phase or moved.phase in LEGAL_PHASES[before.phase]


@pytest.mark.parametrize(
    ("before", "value", "phase"),
    [
        (Gate(PENDING, 90, 9_999), True, ACTIVE),
        (Gate(PENDING, 95, 9_999), True, PENDING),
        (Gate(CLEARING, 80, 9_999), False, NORMAL),
        (Gate(CLEARING, 90, 9_999), False, CLEARING),
    ],
)
def test_history_measures_its_delays_in_event_time(before: Gate, value: bool, phase: Phase) -> None:
    assert advance(before, SLOW, value=value, at=100, now=1_000, late=True).phase is phase


@pytest.mark.parametrize(
    ("before", "now", "phase"),
    [
        (Gate(PENDING, 1, 50), 49, PENDING),
        (Gate(PENDING, 1, 50), 50, ACTIVE),
        (Gate(CLEARING, 1, 50), 50, NORMAL),
        (Gate(ACTIVE, 1), 99, ACTIVE),
    ],
)
def test_time_ends_a_delay(before: Gate, now: int, phase: Phase) -> None:
    assert expire(before, now).phase is phase


SLICE = Path(__file__).parents[3] / "cloud" / "alerts"
IMPURE_FILES = {"ruleset.py", "keeper.py", "ledger.py", "store.py", "service.py", "api.py"}


@pytest.mark.parametrize("path", sorted(set(SLICE.glob("*.py"))), ids=lambda path: path.name)
def test_what_decides_reaches_no_clock_store_or_network(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if path.name not in IMPURE_FILES:
        assert not libraries(path) & IMPURE
