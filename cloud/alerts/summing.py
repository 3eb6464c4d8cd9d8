"""Sums: what a panel says of everything behind it is one situation with the detector that said it. Pure.

A fire panel reports a burning detector twice: as the state of the component and as the state of the whole system. The
sum counts by itself when no component is told, and is shown inside the component's alert as soon as there is one.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Final

from cloud.alerts.model import AlarmFact, Condition, DeviceInfo, Instant, Transition, What
from cloud.alerts.moves import About, Register
from cloud.alerts.rule import Rule

SUM: Final = "sum"
"""Zone of the conditions that sums move."""
GRACE_MS: Final = 30_000
"""A panel that is reset takes back its components and its sum one after the other."""


def is_sum(fact: AlarmFact) -> bool:
    """Tell whether a device speaks for what stands behind it."""
    return fact.detail.get("is_sum") is True


class Summer:
    """Which single devices explain the sum of their gateway; all else is in the register."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._active: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def restored(self, condition: Condition, device: DeviceInfo) -> None:
        """Take note of a stored condition."""
        if _explains(condition):
            for sum_key in self._sum_keys(self._register.rules[condition.rule], device):
                self._active[sum_key][condition.key] = None

    def holder(self, condition: Condition) -> str | None:
        """Give the key of the condition that explains a sum, None when nothing does."""
        return next(iter(self._active.get(condition.key, ())), None)

    def follow(
        self, rule: Rule, key: str, device: DeviceInfo, now: Instant, *, is_repeat: bool
    ) -> list[Transition]:
        """Hold or free the sum of a device's gateway when the device itself comes, speaks again or goes."""
        condition = self._register.conditions.get(key)
        if condition is None or condition.zone:
            return []
        is_on = _explains(condition)
        out: list[Transition] = []
        for sum_key in self._sum_keys(rule, device):
            was_on = key in self._active.get(sum_key, ())
            if is_on and (is_repeat or not was_on):
                self._active[sum_key][key] = None
                out += self._hold(sum_key, key, now)
            elif was_on and not is_on:
                out += self._let_go(sum_key, key, now)
        return out

    def _sum_keys(self, rule: Rule, device: DeviceInfo) -> list[str]:
        """Give the sums that a device's alert explains; panels have one bit for fire and gas.

        A detector that nobody configured speaks under the name of its panel, and explains its fire too.
        """
        panel = device.gateway or (device.id if "fire" in rule.watch.alarms else "")
        if not panel or not rule.watch.alarms:
            return []
        rules = [rule.id]
        if "gas" in rule.watch.alarms:
            others = self._register.rules.values()
            rules += [r.id for r in others if r is not rule and "fire" in r.watch.alarms]
        return [f"{rule_id}|{panel}|{SUM}" for rule_id in rules]

    def _hold(self, sum_key: str, holder: str, now: Instant) -> list[Transition]:
        told = self._register.inhibit(sum_key, holder, now)
        held = self._register.conditions.get(sum_key)
        if told or held is None or not held.level or held.is_overflowed:
            return told
        # Somebody may have closed both meanwhile; the record that opens anew is held like the one before.
        return [self._register.tell(What.INHIBITED, held, About(), now)]

    def _let_go(self, sum_key: str, key: str, now: Instant) -> list[Transition]:
        explaining = self._active[sum_key]
        del explaining[key]
        if explaining:
            return self._hold(sum_key, next(iter(explaining)), now)
        del self._active[sum_key]
        held = self._register.conditions.get(sum_key)
        if held is not None and held.inhibited_by == key:
            self._register.replace(replace(held, release_at=now.steady + GRACE_MS))
        return []


def _explains(condition: Condition) -> bool:
    return not condition.zone and condition.level > 0 and not condition.is_history
