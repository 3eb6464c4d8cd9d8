"""The register of conditions: what moved becomes transitions; too many of one rule become one. Pure."""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Final

from cloud.alerts.model import Condition, Instant, Phase, Priority, Transition, What
from cloud.alerts.rule import Rule

OVERFLOW: Final = "*overflow"
TOLD_EVERY_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class About:
    """Where a movement came from; times Unix ms, empty when time alone moved it."""

    measured_at: int | None = None
    received_at: int | None = None
    device_at: int | None = None
    is_test: bool = False
    is_late: bool = False
    is_history: bool = False
    is_repeat: bool = False
    members: tuple[str, ...] = ()
    why: str = ""


class Register:
    """All conditions that are not blank, which of them wait for time, and which changed since the last save."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule] = {}
        self.worker = ""
        self.conditions: dict[str, Condition] = {}
        self.dirty: set[str] = set()
        self._timed: dict[str, int] = {}
        self._shown: defaultdict[str, set[str]] = defaultdict(set)
        self._overflowed: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def restore(self, condition: Condition) -> None:
        """Take a stored condition."""
        self.replace(condition)
        if condition.level:
            if condition.is_overflowed:
                self._overflowed[condition.rule][condition.key] = None
            else:
                self._shown[condition.rule].add(condition.key)

    def replace(self, condition: Condition) -> None:
        """Store a condition without telling anybody."""
        key = condition.key
        before = self.conditions.get(key)
        if before is None and condition.is_blank and not condition.newest:
            return
        self.conditions[key] = condition
        due_at = condition.due_at
        if due_at is None:
            self._timed.pop(key, None)
        else:
            self._timed[key] = due_at
        lasting = _lasting(condition)
        if not condition.is_blank if before is None else _lasting(before) != lasting:
            self.dirty.add(key)

    def drop(self, key: str) -> None:
        """Forget a condition whose rule is gone."""
        condition = self.conditions.pop(key, None)
        self._timed.pop(key, None)
        if condition is not None:
            self._shown[condition.rule].discard(key)
            self._overflowed[condition.rule].pop(key, None)
        self.dirty.add(key)

    def due(self, now: int) -> list[str]:
        """Give the keys of conditions that time moves, earliest first."""
        found = [(due, key) for key, due in self._timed.items() if due <= now]
        return [key for _, key in sorted(found)]

    def tell(
        self, what: What, condition: Condition, about: About, now: Instant, *, key: str = ""
    ) -> Transition:
        """Write a transition of a condition."""
        return Transition(
            what=what,
            key=key or condition.key,
            rule=condition.rule,
            subject=OVERFLOW if key else condition.subject,
            at=now.wall,
            level=condition.level,
            value=condition.value,
            zone=condition.zone,
            measured_at=about.measured_at or condition.newest or None,
            received_at=about.received_at,
            device_at=about.device_at,
            is_test=about.is_test,
            is_late=about.is_late,
            is_history=about.is_history or condition.is_history,
            is_flapping=condition.is_flapping,
            inhibited_by=None if key else condition.inhibited_by,
            members=about.members,
            why=about.why,
        )

    def move(
        self,
        rule: Rule,
        before: Condition,
        after: Condition,
        about: About,
        now: Instant,
        *,
        holder: str | None = None,
    ) -> list[Transition]:
        """Store the condition after a movement and give what it means; `holder` explains it if it rises."""
        if after.release_at is not None and after.release_at <= now.steady:
            return self._release(rule, before, after, about, now)
        if not before.level and after.level:
            return self._raise(rule, before, replace(after, inhibited_by=holder), about, now)
        if before.level and not after.level:
            return self._clear(rule, before, after, about, now)
        whats = _changes(before, after, is_repeat=about.is_repeat)
        if not whats and _is_heard_through_flapping(rule, before, after, now):
            whats = [What.REPEATED]
            after = replace(after, told_at=now.steady)
        self.replace(after)
        if not after.level or after.is_overflowed:
            return []
        return [self.tell(what, after, about, now) for what in whats]

    def _raise(
        self, rule: Rule, before: Condition, after: Condition, about: About, now: Instant
    ) -> list[Transition]:
        shown = self._shown[rule.id]
        if len(shown) >= rule.max_active and after.inhibited_by is None:
            over = self._overflowed[rule.id]
            what = What.MEMBERS if over else What.RAISED
            over[after.key] = None
            after = replace(after, is_overflowed=True)
            self.replace(after)
            about = replace(about, members=(after.subject,))
            return [self.tell(what, after, about, now, key=overflow_key(rule.id, self.worker))]
        if after.inhibited_by is None:
            shown.add(after.key)
        after = replace(after, told_at=now.steady)
        self.replace(after)
        out = [self.tell(What.RAISED, after, about, now)]
        if after.is_flapping and not before.is_flapping:
            out.append(self.tell(What.FLAPPING, after, about, now))
        return out

    def _clear(
        self, rule: Rule, before: Condition, after: Condition, about: About, now: Instant
    ) -> list[Transition]:
        after = replace(
            after, inhibited_by=None, release_at=None, is_overflowed=False, is_history=False
        )
        self.replace(after)
        self._shown[rule.id].discard(after.key)
        over = self._overflowed[rule.id]
        if after.key in over:
            del over[after.key]
            if over:
                return []
            return [
                self.tell(What.CLEARED, after, about, now, key=overflow_key(rule.id, self.worker))
            ]
        out = [self.tell(What.CALM, after, about, now)] if before.is_flapping else []
        out.append(self.tell(What.CLEARED, after, about, now))
        return out + self._promote(rule, now)

    def _promote(self, rule: Rule, now: Instant) -> list[Transition]:
        """Show the next one that was summed up, now that there is room."""
        over, shown = self._overflowed[rule.id], self._shown[rule.id]
        if not over or len(shown) >= rule.max_active:
            return []
        key = next(iter(over))
        del over[key]
        shown.add(key)
        promoted = replace(self.conditions[key], is_overflowed=False)
        self.replace(promoted)
        about = About(why="there is room again")
        out = [self.tell(What.RAISED, promoted, about, now)]
        if not over:
            out.append(
                self.tell(
                    What.CLEARED, promoted, about, now, key=overflow_key(rule.id, self.worker)
                )
            )
        return out

    def _release(
        self, rule: Rule, before: Condition, after: Condition, about: About, now: Instant
    ) -> list[Transition]:
        free = replace(after, inhibited_by=None, release_at=None)
        if not free.level:
            return self.move(rule, before, replace(after, release_at=None), about, now)
        self._shown[rule.id].add(free.key)
        self.replace(free)
        return [self.tell(What.RELEASED, free, about, now)]

    def inhibit(self, key: str, holder: str, now: Instant) -> list[Transition]:
        """Let another condition explain this one, if it is on and shown."""
        condition = self.conditions.get(key)
        if condition is None or not condition.level:
            return []
        if condition.inhibited_by == holder:
            self.replace(replace(condition, release_at=None))
            return []
        held = replace(condition, inhibited_by=holder, release_at=None)
        was_overflowed = condition.is_overflowed
        if was_overflowed:
            self._overflowed[condition.rule].pop(key, None)
            held = replace(held, is_overflowed=False)
        self._shown[condition.rule].discard(key)
        self.replace(held)
        what = What.RAISED if was_overflowed else What.INHIBITED
        return [self.tell(what, held, About(), now)]

    def release_later(self, holder: str, at: int) -> None:
        """Let everything that `holder` explains go on its own from the steady moment `at`."""
        for condition in [c for c in self.conditions.values() if c.inhibited_by == holder]:
            self.replace(replace(condition, release_at=at))


def overflow_key(rule_id: str, worker: str = "") -> str:
    """Give the key of the alert that sums up what a rule has beyond its limit, at one of several workers if need be."""
    return f"{rule_id}|{OVERFLOW}|{worker}" if worker else f"{rule_id}|{OVERFLOW}"


def _is_heard_through_flapping(
    rule: Rule, before: Condition, after: Condition, now: Instant
) -> bool:
    """Tell whether a flapping danger to life speaks up again.

    A person may have closed its alert as a fault meanwhile, and this time it may burn.
    """
    return (
        rule.rank is Priority.P1
        and before.is_flapping
        and after.is_flapping
        and any(after.inputs)
        and not any(before.inputs)
        and now.steady - after.told_at >= TOLD_EVERY_MS
    )


def _changes(before: Condition, after: Condition, *, is_repeat: bool) -> list[What]:
    found = []
    if before.level != after.level:
        found.append(What.LEVEL)
    if before.phase is Phase.ACTIVE and after.phase is Phase.CLEARING:
        found.append(What.CLEARING)
    if (before.phase is Phase.CLEARING and after.phase is Phase.ACTIVE) or is_repeat:
        found.append(What.REPEATED)
    if before.is_flapping != after.is_flapping:
        found.append(What.FLAPPING if after.is_flapping else What.CALM)
    return found


def _lasting(condition: Condition) -> Condition:
    """Give what is worth a write of its own: not the newest value, which comes with every reading."""
    return replace(condition, newest=0, value=None, told_at=0, inputs=())
