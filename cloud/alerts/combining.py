"""Combinations: follows the conditions of single devices and moves that of their place. Pure."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from cloud.alerts.gate import step
from cloud.alerts.model import Condition, DeviceInfo, Instant, Transition, What
from cloud.alerts.moves import About, Register
from cloud.alerts.rule import Rule
from cloud.alerts.rules.combination import CombinationRule


class Combiner:
    """Knows which rules count which; all state is in the register."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._rules: tuple[CombinationRule, ...] = ()
        self._keys: dict[str, CombinationRule] = {}
        self.owns: Callable[[str], bool] = lambda _place: True

    @property
    def counted(self) -> list[str]:
        """Give the ids of all rules that some combination counts."""
        return sorted({rule_id for rule in self._rules for rule_id in rule.of})

    def restored(self, condition: Condition) -> None:
        """Take note of a stored condition."""
        rule = self._register.rules[condition.rule]
        if isinstance(rule, CombinationRule):
            self._keys[condition.key] = rule

    def sync(
        self,
        others: Sequence[Condition],
        device_of: Callable[[str], DeviceInfo],
        is_own: Callable[[str], bool],
        now: Instant,
    ) -> list[Transition]:
        """Count the active conditions of devices of other workers, and no longer those that are over."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        out: list[Transition] = []
        for other in others:
            device = device_of(other.subject)
            for rule in self._of(self._register.rules[other.rule]):
                condition = self._condition(rule, device)
                if condition is None or not other.level or other.is_history or other.zone:
                    continue
                wanted[condition.key].add(device.id)
                if not any(m.device == device.id and m.is_active for m in condition.members):
                    about = About(max(gate.since for gate in other.gates) or None)
                    out += self._join(rule, condition, device, about, now, is_active=True)
        for key, rule in self._keys.items():
            stored = self._register.conditions.get(key)
            for member in stored.members if stored is not None else ():
                is_over = member.is_active and member.device not in wanted[key]
                if is_over and not is_own(member.device):
                    condition = self._register.conditions[key]
                    device = device_of(member.device)
                    out += self._join(rule, condition, device, About(), now, is_active=False)
        return out

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Put rules in force."""
        self._rules = tuple(rule for rule in rules if isinstance(rule, CombinationRule))
        known = {rule.id: rule for rule in self._rules}
        self._keys = {k: known[r.id] for k, r in self._keys.items() if r.id in known}

    def _of(self, rule: Rule) -> list[CombinationRule]:
        return [combination for combination in self._rules if rule.id in combination.of]

    def holder(self, rule: Rule, device: DeviceInfo) -> str | None:
        """Give the key of the combination that a device's alert belongs under just now."""
        for combination in self._of(rule):
            condition = self._condition(combination, device)
            if combination.inhibits and condition is not None and condition.level:
                return condition.key
        return None

    def _condition(self, rule: CombinationRule, device: DeviceInfo) -> Condition | None:
        place = rule.place_of(device.place)
        if place is None or not rule.devices.include(device) or not self.owns(place):
            return None
        blank = rule.blank(place)
        return self._register.conditions.get(blank.key, blank)

    def follow(
        self,
        rule: Rule,
        before: Condition,
        after: Condition,
        device: DeviceInfo,
        about: About,
        now: Instant,
    ) -> list[Transition]:
        """Move the combinations that count this rule when one of its devices comes or goes."""
        is_in = bool(after.level) and not after.is_history
        if (bool(before.level) and not before.is_history) == is_in:
            return []
        out: list[Transition] = []
        for combination in self._of(rule):
            condition = self._condition(combination, device)
            if condition is not None:
                others = any(
                    other is not None and other.level
                    for source in combination.of
                    if source != rule.id
                    for other in [self._register.conditions.get(f"{source}|{device.id}")]
                )
                is_active = is_in or others
                out += self._join(combination, condition, device, about, now, is_active=is_active)
        return out

    def _join(
        self,
        rule: CombinationRule,
        condition: Condition,
        device: DeviceInfo,
        about: About,
        now: Instant,
        *,
        is_active: bool,
    ) -> list[Transition]:
        at = about.measured_at or now.wall
        known = {member.device for member in condition.members}
        joined = rule.with_member(condition, device.id, at, is_active=is_active)
        joined = rule.prune(joined, at)
        is_true = rule.judge(joined.members, is_on=bool(condition.level))
        after = step(joined, rule.levels, (is_true,), at=at, now=now.steady, flap=rule.flap)
        members = tuple(member.device for member in joined.members)
        told = About(
            at,
            about.received_at,
            about.device_at,
            is_test=about.is_test,
            is_late=about.is_late,
            members=members,
        )
        out = self._register.move(rule, condition, after, told, now)
        self._keys[after.key] = rule
        stored = self._register.conditions.get(after.key, after)
        if not stored.level:
            return out
        if is_active and device.id not in known and condition.level:
            out.append(self._register.tell(What.MEMBERS, stored, told, now))
        if rule.inhibits and not condition.level:
            for source in rule.of:
                for member in members:
                    out += self._register.inhibit(f"{source}|{member}", stored.key, now)
        return out
