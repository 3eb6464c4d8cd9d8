"""Replay: the same facts give the same alerts, live, replayed, and with the worker killed at any point."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.alerts.model import AlarmFact, Fact, ReadingFact
from cloud.alerts.replay import EdgeFact, replay
from tests.cloud.alerts.world import EDGE, START, Town, World, rules_of

DEVICES = [("smoke-1", "smoke"), ("smoke-2", "smoke"), ("gas-1", "gas")]
Step = tuple[str, Any]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 70)),
        st.tuples(st.just("gas"), st.sampled_from([1.0, 4.0, 6.0, 25.0, 16.0, None])),
        st.tuples(
            st.just("alarm"),
            st.tuples(st.integers(0, 1), st.sampled_from(["fire", "fault", "odd"]), st.booleans()),
        ),
        st.tuples(st.just("link"), st.tuples(st.integers(0, 2), st.booleans())),
        st.tuples(st.just("edge"), st.booleans()),
    ),
    min_size=1,
    max_size=20,
)


def play(world: World, script: Sequence[Step], kills: frozenset[int]) -> None:
    for name, kind in DEVICES:
        world.town.add(name, kind, gateway="" if kind == "gas" else "uitd-1")
    world.town.add("uitd-1", "uitd")
    gas = world.measure("gas-1", "gas_lel_pct")
    for index, (what, how) in enumerate(script):
        world.clock.pass_s(1)
        if index in kills:
            unsaved(world, gas, what, how)
            world.restart()
        act(world, gas, what, how)


def act(world: World, gas: int, what: str, how: Any) -> None:
    match what:
        case "wait":
            world.wait(how)
        case "gas":
            world.read(gas, how, quality=3 if how is None else 0)
        case "alarm":
            device, kind, on = how
            world.alarm(DEVICES[device][0], kind, on=on)
        case "link":
            device, up = how
            world.link(DEVICES[device][0], up=up)
        case _:
            world.edge(online=how)


def unsaved(world: World, gas: int, what: str, how: Any) -> None:
    """Feed what the worker is killed over before it could save; the edge will send it again."""
    save, world.save = world.save, lambda: None  # type: ignore[method-assign]
    wall, steady, count = world.clock.wall, world.clock.steady_s, world._alarms
    act(world, gas, "wait" if what == "wait" else what, 1 if what == "wait" else how)
    world.clock.wall, world.clock.steady_s, world._alarms = wall, steady, count
    world.save = save  # type: ignore[method-assign]


def essence(world: World) -> list[tuple[Any, ...]]:
    return sorted(
        (
            a.rule, a.device or a.place or "", a.opened_at, a.raised_at, a.condition, a.handling,
            a.suppression, a.quality, a.priority, a.count, a.cleared_at, tuple(a.members),
            [line.what for line in world.service.history(a.id).lines],
        )
        for a in world.alerts("all", suppressed=True)
    )  # fmt: skip


def outcome(script: Sequence[Step], kills: frozenset[int]) -> list[tuple[Any, ...]]:
    with TemporaryDirectory() as folder:
        rules = [rule for rule in rules_of() if rule.id != "device.offline"]
        world = World(Path(folder), rules=rules)
        try:
            play(world, script, kills)
            return essence(world)
        finally:
            world.close()


@settings(max_examples=20, deadline=None)
@given(steps, st.frozensets(st.integers(0, 19), min_size=1, max_size=4))
def test_a_worker_killed_at_any_point_ends_with_the_same_alerts(
    script: list[Step], kills: frozenset[int]
) -> None:
    assert outcome(script, kills) == outcome(script, frozenset())


def town() -> Town:
    made = Town()
    for name, kind in DEVICES:
        made.add(name, kind)
    return made


def reading(second: int, value: float) -> ReadingFact:
    at = START + second * 1000
    return ReadingFact("gas-1", "gas_lel_pct", value, 0, at, at)


def test_a_replay_gives_the_alerts_that_the_facts_deserve() -> None:
    at = START + 40_000
    facts: list[Fact | EdgeFact] = [reading(n, 30.0 if 10 <= n < 30 else 1.0) for n in range(40)]
    facts += [AlarmFact("smoke-1", "fire", True, at, at, "a1"), EdgeFact(EDGE, False, at)]
    alerts = replay(rules_of(), facts, town(), until=at + 20_000)
    assert [(a.rule, (a.opened_at - START) / 1000) for a in alerts] == [
        ("gas.lel", 13.0), ("smoke.fire", 40.0), ("edge.offline", 50.0),
    ]  # fmt: skip
    assert replay(rules_of(), facts, town(), until=at + 20_000) == alerts


def test_other_rules_give_other_alerts() -> None:
    facts = [reading(n, 4.0) for n in range(30)]
    assert replay(rules_of(), facts, town()) == []
    stricter = rules_of().__class__(
        rule.model_copy(
            update={
                "limits": tuple(v.model_copy(update={"raise_at": ">=4"}) for v in rule.limits[:1])  # type: ignore[attr-defined]
            }
        )
        for rule in rules_of()
        if rule.id == "gas.lel"
    )
    assert [alert.rule for alert in replay(stricter, facts, town())] == ["gas.lel"]
