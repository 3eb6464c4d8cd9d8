"""A sensor that says it cannot measure (open loop, NAMUR NE43): unknown is not normal."""

from typing import Literal

from pydantic import Field
from typing_extensions import override

from cloud.alerts.model import Condition, ReadingFact
from cloud.alerts.rule import Judgement, Level, Rule, Watch
from contract.messages import Quality


class SensorFaultRule(Rule):
    """As written in `config/rules/*.yaml`."""

    kind: Literal["sensor_fault"]
    for_s: float = Field(default=10.0, ge=0, le=86_400, description="So long before it counts.")

    @property
    @override
    def levels(self) -> tuple[Level, ...]:
        return (Level(self.rank, round(self.for_s * 1000), round(self.clear_for_s * 1000)),)

    @property
    @override
    def watch(self) -> Watch:
        return Watch(metrics=frozenset({"*"}))

    @override
    def on_reading(self, condition: Condition, fact: ReadingFact) -> Judgement | None:
        held = dict(condition.sources)
        if fact.quality == Quality.SENSOR_FAULT:
            held.setdefault(fact.metric, fact.measured_at)
        elif fact.value is None or fact.quality == Quality.STALE:
            return None
        else:
            held.pop(fact.metric, None)
        return Judgement((bool(held),), sources=tuple(sorted(held.items())))


KIND = SensorFaultRule
