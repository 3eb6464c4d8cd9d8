"""Laws of the engine under any order of facts, time and people: nothing lost, nothing doubled, no illegal step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloud.alerts import handling
from cloud.alerts.alert import Alert, Note
from cloud.alerts.engine import Engine
from cloud.alerts.model import (
    LEGAL_HANDLING,
    LEGAL_PHASES,
    AlarmFact,
    EventFact,
    Handling,
    Instant,
    Phase,
    ReadingFact,
    Transition,
    Verdict,
)
from cloud.alerts.settle import Scene, settle
from cloud.errors import CloudError
from tests.cloud.alerts.world import EDGE, START, Town, rules_of

SMOKE = [f"smoke-{n}" for n in range(4)]
DEVICES = [*SMOKE, "gas-1"]


class LawBook:
    """A book that refuses what must not happen."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.newest: dict[str, str] = {}

    def latest(self, key: str) -> Alert | None:
        return self.alerts[self.newest[key]] if key in self.newest else None

    def put(self, alert: Alert, note: Note | None) -> None:
        before = self.alerts.get(alert.id)
        if before is not None:
            if alert.handling is not before.handling:
                assert alert.handling in LEGAL_HANDLING[before.handling]
            reopened = not before.is_open and alert.is_open
            if alert.condition is not before.condition and not reopened:
                assert alert.condition in LEGAL_PHASES[before.condition]
            assert alert.count >= before.count
        self.alerts[alert.id] = alert
        self.newest[alert.key] = alert.id


class Alerting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.town = Town()
        for name in SMOKE:
            self.town.add(name, "smoke", gateway="uitd-1")
        self.town.add("gas-1", "gas", gateway="line-1")
        self.town.add("uitd-1", "uitd")
        self.rules = rules_of()
        self.scene = Scene({found.id: found for found in self.rules}, self.town)
        self.now = START
        self.book = LawBook()
        self.engine = Engine(self.rules, self.town, self.instant())
        self.engine.know(["gas-1"], self.instant())
        self.burning: set[str] = set()
        self.count = 0

    def instant(self) -> Instant:
        return Instant(self.now, self.now)

    def take(self, transitions: list[Transition]) -> None:
        settle(transitions, self.book, self.scene)

    @rule(
        device=st.sampled_from(SMOKE),
        kind=st.sampled_from(["fire", "fault", "odd"]),
        on=st.booleans(),
    )
    def alarm(self, device: str, kind: str, on: bool) -> None:
        self.now += 10
        self.count += 1
        fact = AlarmFact(device, kind, on, self.now, self.now, f"a{self.count}")
        self.take(self.engine.alarm(fact, self.instant()))
        if kind == "fire":
            (self.burning.add if on else self.burning.discard)(device)
        before = dict(self.book.alerts)
        self.take(self.engine.alarm(fact, self.instant()))
        assert {i: a.count for i, a in self.book.alerts.items()} == {
            i: a.count for i, a in before.items()
        }

    @rule(
        value=st.one_of(st.none(), st.floats(0, 100)), age_s=st.sampled_from([0, 0, 0, 60, 4_000])
    )
    def measure(self, value: float | None, age_s: int) -> None:
        self.now += 10
        quality = 3 if value is None else 0
        at = self.now - age_s * 1000
        fact = ReadingFact("gas-1", "gas_lel_pct", value, quality, at, self.now)
        self.take(self.engine.reading(fact, self.instant()))
        self.take(self.engine.heard("gas-1", at, self.instant()))

    @rule(device=st.sampled_from([*DEVICES, "uitd-1"]), up=st.booleans())
    def link(self, device: str, up: bool) -> None:
        self.now += 10
        fact = EventFact(device, "link_up" if up else "link_down", self.now, self.now)
        self.take(self.engine.event(fact, self.instant()))

    @rule(online=st.booleans())
    def edge(self, online: bool) -> None:
        self.now += 10
        self.take(self.engine.edge(EDGE, self.now, self.instant(), is_online=online))

    @rule(seconds=st.integers(1, 90))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1_000
            self.take(self.engine.tick(self.instant()))

    @precondition(lambda self: any(alert.is_open for alert in self.book.alerts.values()))
    @rule(data=st.data(), verdict=st.sampled_from([None, *Verdict]))
    def handle(self, data: st.DataObject, verdict: Verdict | None) -> None:
        self.now += 10
        chosen = data.draw(
            st.sampled_from(sorted(a.id for a in self.book.alerts.values() if a.is_open))
        )
        alert = self.book.alerts[chosen]
        how = data.draw(st.sampled_from(["acknowledge", "verify", "close"]))
        try:
            if how == "acknowledge":
                changed = handling.acknowledge(alert, "Li", self.now)
            elif how == "verify":
                changed = handling.verify(alert, "Li", verdict or Verdict.TEST, self.now)
            else:
                changed = handling.close(alert, "Li", verdict, self.now)
        except CloudError:
            return
        self.book.put(changed, None)
        if changed.handling is Handling.CLOSED:
            for held in [
                a for a in self.book.alerts.values() if a.is_open and a.inhibited_by == chosen
            ]:
                self.book.put(handling.free(held, self.now), None)

    @invariant()
    def one_open_alert_per_key(self) -> None:
        open_keys = [alert.key for alert in self.book.alerts.values() if alert.is_open]
        assert len(open_keys) == len(set(open_keys))

    @invariant()
    def no_alarm_is_lost(self) -> None:
        for device in self.burning:
            alert = self.book.latest(f"smoke.fire|{device}")
            assert alert is not None
            assert alert.is_open or alert.closed_by == "Li"
            assert alert.cleared_at is None or not alert.is_open

    @invariant()
    def what_is_on_is_stored_also_when_suppressed(self) -> None:
        for key, condition in self.engine.register.conditions.items():
            if condition.level and not condition.is_overflowed:
                assert self.book.latest(key) is not None or condition.zone == "late"

    @invariant()
    def a_suppressed_alert_names_what_explains_it_and_is_silent(self) -> None:
        for alert in self.book.alerts.values():
            if alert.is_open and alert.suppression == "inhibited":
                assert alert.inhibited_by in self.book.alerts
                assert not alert.announce

    @invariant()
    def what_is_normal_and_closes_itself_is_closed(self) -> None:
        for alert in self.book.alerts.values():
            if alert.closes_itself and alert.condition is Phase.NORMAL:
                assert not alert.is_open


Alerting.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAlerting = Alerting.TestCase
