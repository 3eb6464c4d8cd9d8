"""Presence: who is heard, who is silent, and what is only silent because of what stands before it. Pure.

Silence is measured in steady time from the last sign of life, or from when the worker began to listen:
while nobody listened, nobody was silent.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from cloud.alerts.gate import step, wake
from cloud.alerts.model import (
    Condition,
    DeviceDirectory,
    DeviceInfo,
    EventFact,
    Instant,
    PlainDevice,
    Transition,
)
from cloud.alerts.moves import About, Register
from cloud.alerts.rule import Judgement, Rule
from cloud.alerts.rules.absence import BEHIND, LINK, SILENCE, AbsenceRule

MEMBERS_SHOWN: Final = 1_000
_RANK: Final = {"edge": 0, "gateway": 1, "device": 2}


class Presence:
    """Moves the conditions of absence rules."""

    def __init__(self, register: Register, directory: DeviceDirectory, now: int) -> None:
        self._register = register
        self._directory = directory
        self._start = now
        self._rules: tuple[AbsenceRule, ...] = ()
        self._heard: dict[str, int] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._known: set[str] = set()
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._absent: set[str] = set()
        self._down: dict[str, str] = {}
        self.owns: Callable[[str], bool] = lambda _device: True

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Put rules in force; silences are counted by them from now on."""
        found = [rule for rule in rules if isinstance(rule, AbsenceRule)]
        self._rules = tuple(sorted(found, key=lambda rule: _RANK[rule.scope]))
        self._deadlines = [(self._start, device) for device in sorted(self._known)]

    def know(self, device: DeviceInfo, now: int) -> None:
        """Begin to expect signs of life from a device."""
        for parent in _parents(device):
            self._children[parent].add(device.id)
        if device.id not in self._known:
            self._known.add(device.id)
            self._heard.setdefault(device.id, now)
            heapq.heappush(self._deadlines, (now, device.id))

    def restored(self, condition: Condition) -> None:
        """Take note of a stored condition."""
        rule = self._register.rules[condition.rule]
        if isinstance(rule, AbsenceRule):
            self._note(rule, condition)

    def forget(self, condition: Condition, now: Instant) -> None:
        """Let go of what a condition held whose rule was removed."""
        self._absent.discard(condition.subject)
        if self._down.get(condition.subject) == condition.key:
            del self._down[condition.subject]
        self._register.release_later(condition.key, now.steady)

    def rearm(self, now: int) -> None:
        """Count every silence from now."""
        self._heard = dict.fromkeys(self._heard, now)

    # --- facts ---------------------------------------------------------------------------------

    def link(self, device: DeviceInfo, fact: EventFact, now: Instant) -> list[Transition]:
        """Judge `link_up` or `link_down`."""
        out: list[Transition] = []
        for rule in self._for(device):
            condition = self._condition(rule, device.id)
            judgement = rule.on_event(condition, fact)
            if judgement is not None:
                out += self._judge(rule, condition, judgement, fact.measured_at, now)
        return out

    def edge(self, edge: str, at: int, now: Instant, *, is_online: bool) -> list[Transition]:
        """Judge that an edge node came or went."""
        out: list[Transition] = []
        if is_online:
            self._rearm_behind(edge, now)
        device = PlainDevice(edge, "edge", edge=edge)
        for rule in self._rules:
            if rule.scope == "edge" and rule.devices.include(device):
                condition = self._condition(rule, edge)
                held = dict(condition.sources)
                sources = () if is_online else ((LINK, held.get(LINK, at)),)
                judgement = Judgement((not is_online,), sources=sources)
                out += self._judge(rule, condition, judgement, at, now)
        return out

    def heard(self, device_id: str, measured_at: int, now: Instant) -> list[Transition]:
        """Note a sign of life; quick when nothing was amiss."""
        self._heard[device_id] = now.steady
        if device_id not in self._absent:
            return []
        out: list[Transition] = []
        for rule in self._for(self._device(device_id)):
            condition = self._condition(rule, device_id)
            judgement = rule.on_heard(condition, measured_at)
            if judgement is not None:
                out += self._judge(rule, condition, judgement, measured_at, now)
        return out

    # --- time ----------------------------------------------------------------------------------

    def tick(self, now: Instant, due: Iterable[str]) -> list[Transition]:
        """Let time act on absence conditions, what stands before others first."""
        waking = sorted(due, key=lambda key: (self._rank(key), key))
        silent = self._silent(now.steady)
        out: list[Transition] = []
        for key in [key for key in waking if self._rank(key) < 2]:
            out += self._wake(key, now)
        for device in [device for device in silent if self._scope(device) < 2]:
            out += self._silence(device, SILENCE, now)
        below = [key for key in waking if self._rank(key) == 2]
        conditions = [self._register.conditions[key] for key in below]
        subjects = [condition.subject for condition in conditions if condition.sources]
        devices = [device for device in silent if self._scope(device) == 2]
        out += self._collapse([*subjects, *(device.id for device in devices)], now)
        for key in below:
            out += self._wake(key, now)
        for device in devices:
            out += self._silence(device, SILENCE, now)
        return out

    def _silent(self, now: int) -> list[DeviceInfo]:
        """Give the devices whose silence has just become too long."""
        found = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, device_id = heapq.heappop(self._deadlines)
            device = self._directory.device(device_id)
            limits = [] if device is None else [r.silence_ms(device) for r in self._for(device)]
            limit_ms = min((limit for limit in limits if limit is not None), default=None)
            if device is None or limit_ms is None or not self.owns(device_id):
                self._known.discard(device_id)
                continue
            deadline = self._heard.get(device_id, now) + limit_ms
            if deadline <= now:
                found.append(device)
                deadline = now + limit_ms
            heapq.heappush(self._deadlines, (deadline, device_id))
        return found

    def _silence(self, device: DeviceInfo, source: str, now: Instant) -> list[Transition]:
        out: list[Transition] = []
        for rule in self._for(device):
            if source == SILENCE and rule.silence is None:
                continue
            condition = self._condition(rule, device.id)
            if source not in dict(condition.sources):
                judgement = rule.on_silence(condition, source, now.wall)
                out += self._judge(rule, condition, judgement, now.wall, now, at_once=True)
        return out

    def _wake(self, key: str, now: Instant) -> list[Transition]:
        condition = self._register.conditions.get(key)
        if condition is None:
            return []
        rule = self._register.rules[condition.rule]
        if not isinstance(rule, AbsenceRule):
            return []
        return self._move(rule, condition, wake(condition, rule.levels, now.steady), None, now)

    def _collapse(self, subjects: Sequence[str], now: Instant) -> list[Transition]:
        """Blame the gateway when too many devices behind it are about to be missing."""
        out: list[Transition] = []
        silent = self._absent | set(subjects)
        gateways = {self._device(subject).gateway for subject in subjects} - {""}
        for gateway in sorted(gateways - self._down.keys()):
            device = self._device(gateway)
            children = self._children[gateway]
            missing = len(children & silent)
            for rule in self._for(device):
                collapse = rule.collapse
                if (
                    collapse is not None
                    and missing >= collapse.at_least
                    and missing >= collapse.share * len(children)
                ):
                    out += self._silence(device, BEHIND, now)
        return out

    def _uncollapse(self, device_id: str, at: int, now: Instant) -> list[Transition]:
        gateway = self._device(device_id).gateway
        if gateway not in self._down:
            return []
        out: list[Transition] = []
        children = self._children[gateway]
        missing = len(children & self._absent)
        for rule in self._for(self._device(gateway)):
            condition = self._condition(rule, gateway)
            share = rule.collapse.share if rule.collapse else 1.0
            if BEHIND in dict(condition.sources) and missing < share * len(children):
                judgement = rule.on_heard(condition, at)
                if judgement is not None:
                    out += self._judge(rule, condition, judgement, at, now)
        return out

    # --- moving ----------------------------------------------------------------------------------

    def _judge(
        self,
        rule: AbsenceRule,
        condition: Condition,
        judgement: Judgement,
        at: int,
        now: Instant,
        *,
        at_once: bool = False,
    ) -> list[Transition]:
        levels = tuple(replace(v, for_ms=0) for v in rule.levels) if at_once else rule.levels
        kept = replace(condition, sources=judgement.sources)
        after = step(kept, levels, judgement.inputs, at=at, now=now.steady, flap=rule.flap)
        if at_once and not after.level:
            # It was already waiting for its delay; this silence has waited long enough.
            gates = tuple(replace(gate, due_at=now.steady) for gate in after.gates)
            after = wake(replace(after, gates=gates), levels, now.steady)
        return self._move(rule, condition, after, at, now)

    def _move(
        self, rule: AbsenceRule, before: Condition, after: Condition, at: int | None, now: Instant
    ) -> list[Transition]:
        subject = after.subject
        behind = self._children.get(subject, set()) if rule.scope != "device" else set()
        members = tuple(sorted(behind))[:MEMBERS_SHOWN]
        about = About(at, now.wall, members=members)
        holder = self._holder(subject)
        out = self._register.move(rule, before, after, about, now, holder=holder)
        stored = self._register.conditions.get(after.key, after)
        self._note(rule, stored)
        if rule.scope == "device":
            if before.sources and not stored.sources and at is not None:
                out += self._uncollapse(subject, at, now)
        elif not before.level and stored.level:
            for other in self._rules:
                for child in sorted(behind):
                    out += self._register.inhibit(f"{other.id}|{child}", stored.key, now)
        elif before.level and not stored.level:
            self._rearm_behind(subject, now)
            grace_ms = round(rule.return_grace_s * 1000)
            self._register.release_later(stored.key, now.steady + grace_ms)
        return out

    def _note(self, rule: AbsenceRule, condition: Condition) -> None:
        subject = condition.subject
        if condition.sources:
            self._absent.add(subject)
        else:
            self._absent.discard(subject)
        if rule.scope == "device":
            return
        if condition.level:
            self._down[subject] = condition.key
        elif self._down.get(subject) == condition.key:
            del self._down[subject]

    def _rearm_behind(self, parent: str, now: Instant) -> None:
        for child in self._children.get(parent, ()):
            self._heard[child] = now.steady

    def _holder(self, subject: str) -> str | None:
        device = self._directory.device(subject)
        parents = _parents(device) if device is not None else ()
        return next((self._down[parent] for parent in parents if parent in self._down), None)

    # --- who -------------------------------------------------------------------------------------

    def _for(self, device: DeviceInfo) -> list[AbsenceRule]:
        found = [r for r in self._rules if r.scope != "edge" and r.devices.include(device)]
        return [r for r in found if r.scope == "device"][:1] if device.kind == "unknown" else found

    def _device(self, device_id: str) -> DeviceInfo:
        return self._directory.device(device_id) or PlainDevice(device_id)

    def _condition(self, rule: AbsenceRule, subject: str) -> Condition:
        blank = rule.blank(subject)
        return self._register.conditions.get(blank.key, blank)

    def _rank(self, key: str) -> int:
        rule = self._register.rules[self._register.conditions[key].rule]
        return _RANK[rule.scope] if isinstance(rule, AbsenceRule) else 2

    def _scope(self, device: DeviceInfo) -> int:
        return min((_RANK[rule.scope] for rule in self._for(device)), default=2)


def _parents(device: DeviceInfo) -> tuple[str, ...]:
    """Give what a device speaks through, the farthest first."""
    return tuple(
        parent for parent in (device.edge, device.gateway) if parent not in {"", device.id}
    )
