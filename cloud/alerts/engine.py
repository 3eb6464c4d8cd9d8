"""Decides: facts and time in, conditions moved, transitions out. No clock, no store, no log.

One condition per rule and subject. Transitions come out in the order in which they must be applied:
what explains others first, so that a building's confirmed fire or a dead gateway stands before what it holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cloud.alerts.combining import Combiner
from cloud.alerts.gate import LATE, step, wake
from cloud.alerts.model import (
    AlarmFact,
    Condition,
    DeviceDirectory,
    DeviceInfo,
    EventFact,
    Fact,
    Instant,
    Phase,
    PlainDevice,
    ReadingFact,
    Transition,
    What,
    foreign_zone,
    reporter_of,
)
from cloud.alerts.moves import TOLD_EVERY_MS, About, Register
from cloud.alerts.ownership import Ownership
from cloud.alerts.presence import Presence
from cloud.alerts.rule import EVERYTHING, NOTHING, Judgement, Rule
from cloud.alerts.summing import SUM, Summer, is_sum
from contract.messages import Quality

RECENT_IDS: Final = 16


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What a new set of rules did: the ids of rules edited and removed."""

    edited: frozenset[str]
    removed: frozenset[str]


class Engine:
    """All conditions of one worker; deterministic, so that a replay gives the same alerts.

    Args:
        rules: the rules in force.
        directory: who knows devices and places.
        now: the moment from which silence is counted.
    """

    def __init__(self, rules: Sequence[Rule], directory: DeviceDirectory, now: Instant) -> None:
        self._directory = directory
        self.register = Register()
        self._presence = Presence(self.register, directory, now.steady)
        self._combiner = Combiner(self.register)
        self._summer = Summer(self.register)
        self.rules: dict[str, Rule] = {}
        self._by_metric: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._set_rules(rules)

    def _set_rules(self, rules: Sequence[Rule]) -> None:
        self.rules = {rule.id: rule for rule in rules}
        self._by_metric.clear()
        self._named = frozenset().union(*(rule.watch.alarms for rule in rules))
        self.register.rules = self.rules
        self._presence.set_rules(rules)
        self._combiner.set_rules(rules)

    # --- state -----------------------------------------------------------------------------

    def restore(self, conditions: Iterable[Condition]) -> None:
        """Take back what was stored; a condition of a removed rule must not be among them."""
        for condition in conditions:
            rule = self.rules[condition.rule]
            fitted = _fit(condition, rule)
            self.register.restore(fitted)
            self._presence.restored(fitted)
            self._combiner.restored(fitted)
            self._summer.restored(fitted, self.device(fitted.subject))
        self.register.dirty.clear()

    def own(self, ownership: Ownership) -> None:
        """Judge only what one of several workers owns."""
        self.register.worker = ownership.name
        self._combiner.owns = ownership.place
        self._presence.owns = ownership.subject

    def hand_over(self, condition: Condition, now: Instant) -> None:
        """Forget a condition that another worker owns by now; what is stored of it stays."""
        self._presence.forget(condition, now)
        self.register.drop(condition.key)
        self.register.dirty.discard(condition.key)

    @property
    def counted(self) -> list[str]:
        """Give the ids of all rules that some combination counts."""
        return self._combiner.counted

    def others(
        self, conditions: Sequence[Condition], is_own: Callable[[str], bool], now: Instant
    ) -> list[Transition]:
        """Let combinations count what other workers' devices say just now."""
        return self._combiner.sync(conditions, self.device, is_own, now)

    def change_rules(self, rules: Sequence[Rule], now: Instant) -> RuleChange:
        """Put new rules in force; conditions of unchanged rules stay as they are, edited ones are fitted."""
        new = {rule.id: rule for rule in rules}
        old = self.rules
        for key in [k for k, c in self.register.conditions.items() if c.rule not in new]:
            self._presence.forget(self.register.conditions[key], now)
            self.register.drop(key)
        self._set_rules(rules)
        edited = {i for i in new if i in old and new[i].fingerprint != old[i].fingerprint}
        for condition in [c for c in self.register.conditions.values() if c.rule in edited]:
            self.register.replace(_fit(condition, new[condition.rule]))
        return RuleChange(frozenset(edited), frozenset(old.keys() - new.keys()))

    def device(self, device_id: str) -> DeviceInfo:
        """Give a device; one that nobody registered is of kind `unknown`, its alarms count all the same."""
        return self._directory.device(device_id) or PlainDevice(device_id)

    def know(self, devices: Iterable[str], now: Instant) -> None:
        """Begin to expect signs of life from these devices."""
        self._by_metric.clear()
        for device_id in devices:
            self._presence.know(self.device(device_id), now.steady)

    # --- facts -----------------------------------------------------------------------------

    def feed(self, fact: Fact, now: Instant) -> list[Transition]:
        """Take one fact of a device and give what changed."""
        match fact:
            case ReadingFact():
                return self.reading(fact, now)
            case AlarmFact():
                return self.alarm(fact, now)
            case EventFact():
                return self.event(fact, now)

    def reading(self, fact: ReadingFact, now: Instant) -> list[Transition]:
        """Judge one reading by every rule that watches it; one seen before changes nothing."""
        if fact.quality == Quality.CLOCK_UNTRUSTED and not fact.is_backfill:
            fact = replace(fact, measured_at=fact.received_at)
        out: list[Transition] = []
        for rule in self._watching(fact.device, fact.metric):
            condition, is_late = self._track(rule, fact)
            if condition is None:
                continue
            about = About(fact.measured_at, fact.received_at, is_late=is_late)
            judgement = rule.on_reading(condition, fact)
            if judgement is not None:
                out += self._judge(rule, condition, judgement, about, now)
        return out

    def _track(self, rule: Rule, fact: ReadingFact) -> tuple[Condition | None, bool]:
        """Give the condition that a reading may move, and whether it is late.

        A resent or overtaken reading moves nothing; one from a backlog moves a condition of its own, which
        raises only an alert marked late and leaves the live one alone.
        """
        live = self._condition(rule, fact.device)
        is_old = fact.is_overtaken or fact.measured_at <= live.newest
        is_late = fact.received_at - fact.measured_at > rule.lateness_ms
        if not is_old and (not is_late or live.phase is not Phase.NORMAL):
            return live, is_late
        if not is_late or live.level:
            return None, is_late
        late = self._condition(rule, fact.device, LATE)
        return (late if fact.measured_at > late.newest else None), True

    def alarm(self, fact: AlarmFact, now: Instant) -> list[Transition]:
        """Judge a device's alarm bit, in the order of arrival; the same alarm sent twice counts once."""
        device = self.device(fact.device)
        out = [] if fact.reported_by else self.heard(fact.device, fact.measured_at, now)
        for rule in self._hearing(device, fact.kind):
            zone = self._zone(rule, fact, device)
            condition = self._condition(rule, fact.device, zone)
            mark = f"{fact.alarm_id}{'+' if fact.is_active else '-'}"
            if fact.alarm_id and mark in condition.recent_ids:
                continue
            judgement = rule.on_alarm(condition, fact)
            if judgement is None:
                continue
            ids = (*condition.recent_ids, mark)[-RECENT_IDS:] if fact.alarm_id else ()
            late = fact.received_at - fact.measured_at > rule.lateness_ms
            about = About(
                fact.measured_at,
                fact.received_at,
                fact.device_at,
                is_test=fact.is_test,
                is_late=late or fact.is_history,
                is_history=fact.is_history,
            )
            kept = replace(condition, recent_ids=ids)
            if fact.is_active and not (condition.level and fact.is_history):
                kept = replace(kept, is_history=fact.is_history)
            out += self._judge(rule, kept, judgement, about, now)
        return out

    def _zone(self, rule: Rule, fact: AlarmFact, device: DeviceInfo) -> str:
        """Choose the condition: what another edge node says never moves the one of the device's own."""
        if fact.reported_by:
            return foreign_zone(fact.reported_by)
        former = foreign_zone(device.edge)
        if device.edge and self._condition(rule, fact.device, former).level:
            # It owns the device by now; what it began as a stranger goes on in the same alert.
            return former
        return rule.zone_of(fact.kind) or (SUM if is_sum(fact) else "")

    def event(self, fact: EventFact, now: Instant) -> list[Transition]:
        """Judge an event; only link events concern alerting."""
        if fact.kind == "link_down":
            return self._presence.link(self.device(fact.device), fact, now)
        out = self.heard(fact.device, fact.measured_at, now)
        if fact.kind == "link_up":
            out += self._presence.link(self.device(fact.device), fact, now)
        return out

    def edge(self, edge: str, at: int, now: Instant, *, is_online: bool) -> list[Transition]:
        """Judge that an edge node came or went; `at` Unix ms."""
        return self._presence.edge(edge, at, now, is_online=is_online)

    def heard(self, device: str, measured_at: int, now: Instant) -> list[Transition]:
        """Note a sign of life."""
        return self._presence.heard(device, measured_at, now)

    def hold_silence(self, now: Instant) -> None:
        """Count every silence anew: it was ours, not theirs."""
        self._presence.rearm(now.steady)

    def tick(self, now: Instant) -> list[Transition]:
        """Let time act: delays that are over, silences, inhibitions and flapping that end."""
        due = self.register.due(now.steady)
        absences = {key for key in due if self._is_absence(key)}
        out = self._presence.tick(now, absences)
        for key in due:
            condition = self.register.conditions.get(key)
            if condition is None or key in absences:
                continue
            rule = self.rules[condition.rule]
            woken = wake(condition, rule.levels, now.steady)
            out += self._move(rule, condition, woken, About(), now)
        return out

    def _is_absence(self, key: str) -> bool:
        return self.rules[self.register.conditions[key].rule].watch.links

    # --- how a judgement becomes transitions --------------------------------------------------

    def _judge(
        self, rule: Rule, condition: Condition, judgement: Judgement, about: About, now: Instant
    ) -> list[Transition]:
        measured_at = about.measured_at or now.wall
        kept = replace(
            condition,
            sources=judgement.sources,
            value=judgement.value if judgement.value is not None else condition.value,
        )
        after = step(
            kept, rule.levels, judgement.inputs, at=measured_at, now=now.steady, flap=rule.flap
        )
        about = replace(about, is_repeat=judgement.is_repeat)
        return self._move(rule, condition, after, about, now)

    def _move(
        self, rule: Rule, before: Condition, after: Condition, about: About, now: Instant
    ) -> list[Transition]:
        device = self.device(after.subject)
        # What a stranger says of a device confirms nothing.
        is_single = after.zone != SUM and not reporter_of(after.zone)
        combined = (
            self._combiner.follow(rule, before, after, device, about, now) if is_single else []
        )
        holder = None
        if not before.level and after.level:
            explained = self._summer.holder(after) if after.zone == SUM else None
            holder = explained or self._combiner.holder(rule, device)
        out = self.register.move(rule, before, after, about, now, holder=holder)
        out += self._summer.follow(rule, after.key, device, now, is_repeat=about.is_repeat)
        if not out and self._value_is_old(before, after, now):
            out = [self.register.tell(What.VALUE, after, about, now)]
            self.register.conditions[after.key] = replace(
                self.register.conditions[after.key], told_at=now.steady
            )
        return combined + out

    def _value_is_old(self, before: Condition, after: Condition, now: Instant) -> bool:
        return (
            after.level > 0
            and not after.is_overflowed
            and after.value is not None
            and before.value != after.value
            and now.steady - after.told_at >= TOLD_EVERY_MS
        )

    # --- who watches what -----------------------------------------------------------------------

    def _condition(self, rule: Rule, subject: str, zone: str = "") -> Condition:
        blank = rule.blank(subject, zone)
        return self.register.conditions.get(blank.key, blank)

    def _watching(self, device_id: str, metric: str) -> tuple[Rule, ...]:
        found = self._by_metric.get((device_id, metric))
        if found is None:
            device = self.device(device_id)
            found = tuple(
                rule
                for rule in self.rules.values()
                if rule.watch.metrics & {metric, "*"} and rule.devices.include(device)
            )
            self._by_metric[device_id, metric] = found
        return found

    def _hearing(self, device: DeviceInfo, kind: str) -> list[Rule]:
        heard = {kind} if kind in self._named else {"*"}
        rules = [r for r in self.rules.values() if r.devices.include(device)]
        found = [rule for rule in rules if rule.watch.alarms & heard]
        return found or [rule for rule in rules if "*" in rule.watch.alarms]

    def quiet(self, device_id: str, metric: str) -> tuple[float, float]:
        """Give the open interval in which a good value of this series changes nothing just now."""
        low, high = EVERYTHING
        conditions: Mapping[str, Condition] = self.register.conditions
        for rule in self._watching(device_id, metric):
            for zone in ("", LATE):
                key = f"{rule.id}|{device_id}|{zone}" if zone else f"{rule.id}|{device_id}"
                condition = conditions.get(key)
                if condition is not None and (
                    condition.level or condition.sources or condition.phase != "normal"
                ):
                    return NOTHING
            below, above = rule.quiet(metric)
            low, high = max(low, below), min(high, above)
        return low, high


def _fit(condition: Condition, rule: Rule) -> Condition:
    """Fit a stored condition to a rule that was edited: as many gates as it has levels now."""
    if condition.fingerprint == rule.fingerprint:
        return condition
    gates = rule.blank(condition.subject).gates
    count = len(gates)
    inputs = (*condition.inputs, *(None for _ in gates))[:count]
    kept = (*condition.gates, *gates)[:count]
    if condition.level > count:
        kept = (*kept[:-1], condition.gates[condition.level - 1])
    return replace(condition, gates=kept, inputs=inputs, fingerprint=rule.fingerprint)
