"""An alarm bit that the device sets itself; several kinds of bits may hold one condition."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from cloud.alerts.model import AlarmFact, Condition
from cloud.alerts.rule import Judgement, Level, Name, Rule, Watch


class DeviceAlarmRule(Rule):
    """As written in `config/rules/*.yaml`."""

    kind: Literal["device_alarm"]
    alarms: tuple[Name, ...] = Field(
        min_length=1, description="Kinds of device alarms; ['*'] is every kind no rule names."
    )
    for_s: float = Field(default=0.0, ge=0, le=86_400, description="So long before it counts.")

    @property
    @override
    def levels(self) -> tuple[Level, ...]:
        return (Level(self.rank, round(self.for_s * 1000), round(self.clear_for_s * 1000)),)

    @property
    @override
    def watch(self) -> Watch:
        return Watch(alarms=frozenset(self.alarms))

    @override
    def zone_of(self, kind: str) -> str:
        return kind if "*" in self.alarms else ""

    @override
    def on_alarm(self, condition: Condition, fact: AlarmFact) -> Judgement | None:
        held = dict(condition.sources)
        if fact.is_active:
            is_repeat = fact.kind in held
            held.setdefault(fact.kind, fact.measured_at)
            return Judgement((True,), sources=tuple(sorted(held.items())), is_repeat=is_repeat)
        since = held.get(fact.kind)
        if since is None or (fact.is_history and fact.measured_at < since):
            # A cached "over" from before the alarm began says nothing about the alarm.
            return None
        del held[fact.kind]
        return Judgement((bool(held),), sources=tuple(sorted(held.items())))


KIND = DeviceAlarmRule
