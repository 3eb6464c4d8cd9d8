"""Reflexes: a pure step, and a runner that insists."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.messages import Quality
from edge import reflex as reflex_module
from edge.driver import DeviceEvent, Reading
from edge.errors import DeviceRefusedError, DeviceUnavailableError
from edge.reflex import Action, Phase, ReflexRunner, ReflexState, Rule, step
from tests.edge.clocks import FakeClock

SHUT = Action("gas-1", "valve_open", 0.0)
SOUND = Action("gas-1", "sounder_on", 1.0)


def rule(for_s: float = 3.0, *actions: Action) -> Rule:
    return Rule("shut", "gas-1", "gas_lel_pct", 20.0, None, 15.0, for_s, actions or (SHUT, SOUND))


def reading(value: float | None, quality: Quality = Quality.OK) -> Reading:
    return Reading("gas-1", "gas_lel_pct", value, 1, quality)


def phases(moments: Sequence[tuple[float, float | None]], for_s: float = 3.0) -> list[str]:
    state, found = ReflexState(), []
    for now, value in moments:
        state = step(rule(for_s), state, value, now)
        found.append(state.phase.value)
    return found


def test_fires_after_the_value_lasted() -> None:
    assert phases([(0, 21), (1, 25), (2.9, 22), (3, 22)]) == ["pending"] * 3 + ["fired"]


def test_a_dip_begins_the_wait_anew() -> None:
    assert phases([(0, 21), (2, 20), (2.5, 21), (4, 21), (5.5, 21)])[-2:] == ["pending", "fired"]


def test_clears_only_below_the_lower_limit() -> None:
    assert phases([(0, 30), (1, 16), (2, 15), (3, 14.9), (4, 30)], for_s=0) == [
        "fired", "fired", "fired", "armed", "fired",
    ]  # fmt: skip


def test_a_fault_holds_what_was_known_and_does_not_stop_the_clock() -> None:
    assert phases([(0, 21), (2, None), (3, None)]) == ["pending", "pending", "fired"]
    assert phases([(0, None), (9, None)]) == ["armed", "armed"]
    assert phases([(0, 30), (1, None)], for_s=0) == ["fired", "fired"]


def test_below_mirrors_above() -> None:
    low = Rule("low", "p", "pressure_kpa", None, 100.0, 120.0, 0.0, (SHUT,))
    fired = step(low, ReflexState(), 99.0, 0.0)
    assert fired.phase is Phase.FIRED
    assert step(low, fired, 119.0, 1.0) == fired
    assert step(low, fired, 121.0, 1.0).phase is Phase.ARMED


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.one_of(st.none(), st.floats(0, 100))), min_size=1, max_size=40
    )
)
def test_fires_exactly_when_the_last_known_value_was_beyond_all_the_time(
    moves: list[tuple[float, float | None]],
) -> None:
    the_rule, state, now = rule(3.0), ReflexState(), 0.0
    since: float | None = None
    for wait, value in moves:
        now += wait
        before = state
        state = step(the_rule, state, value, now)
        if value is not None:
            since = (now if since is None else since) if value > 20 else None
        if state.phase is Phase.FIRED and before.phase is not Phase.FIRED:
            assert since is not None
            assert now - since >= 3.0
        if before.phase is not Phase.FIRED and since is not None and now - since >= 3.0:
            assert state.phase is Phase.FIRED
        if before.phase is Phase.FIRED and state.phase is not Phase.FIRED:
            assert value is not None
            assert value < 15


class Outputs:
    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures
        self.written: list[tuple[str, str, float]] = []
        self.events: list[DeviceEvent] = []

    async def write(self, device: str, metric: str, value: float) -> None:
        if metric == "valve_open" and self.failures:
            raise self.failures.pop(0)
        self.written.append((device, metric, value))

    async def report(self, events: Sequence[DeviceEvent]) -> None:
        self.events += events


async def run_until_reported(outputs: Outputs, count: int) -> ReflexRunner:
    clock = FakeClock()
    runner = ReflexRunner([rule(3.0)], write=outputs.write, report=outputs.report, clock=clock)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(runner.run(), name="reflex")
        runner.feed(reading(30))
        clock.pass_s(3)
        # No further reading comes: the clock alone fires it.
        async with asyncio.timeout(30):
            while len(outputs.events) < count:  # noqa: ASYNC110 - events are a plain list here
                await asyncio.sleep(0.01)
        task.cancel()
    return runner


async def test_the_clock_fires_and_every_output_is_set_once() -> None:
    outputs = Outputs([])
    runner = await run_until_reported(outputs, 2)
    assert sorted(outputs.written) == [("gas-1", "sounder_on", 1.0), ("gas-1", "valve_open", 0.0)]
    assert all(event.kind == "reflex" and event.detail["ok"] for event in outputs.events)
    assert (runner.fired_total, runner.failed_total) == (1, 0)


async def test_an_output_that_fails_is_tried_again_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reflex_module, "RETRY_S", (0.01,) * 8)
    outputs = Outputs([DeviceUnavailableError("no answer"), DeviceRefusedError("busy")])
    await run_until_reported(outputs, 2)
    assert outputs.written == [("gas-1", "sounder_on", 1.0), ("gas-1", "valve_open", 0.0)]
    by_metric = {event.detail["metric"]: event.detail["attempts"] for event in outputs.events}
    assert by_metric == {"sounder_on": 1, "valve_open": 3}


async def test_a_dead_output_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflex_module, "RETRY_S", (0.001,) * 3)
    outputs = Outputs([DeviceUnavailableError("valve gas-1 does not answer")] * 50)
    runner = await run_until_reported(outputs, 2)
    valve = next(event for event in outputs.events if event.detail["metric"] == "valve_open")
    assert valve.detail["ok"] is False
    assert valve.detail["error"] == "valve gas-1 does not answer"
    assert runner.failed_total == 1


async def test_a_stale_value_counts_as_unknown() -> None:
    outputs = Outputs([])
    runner = ReflexRunner(
        [rule(0.0)], write=outputs.write, report=outputs.report, clock=FakeClock()
    )
    runner.feed(reading(90, Quality.STALE))
    assert runner.fired_total == 0
    runner.feed(reading(90, Quality.OUT_OF_RANGE))
    assert runner.fired_total == 1
