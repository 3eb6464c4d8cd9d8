"""A value beyond a limit: levels that step the priority up and down in one alert, hysteresis, and `for`."""

import itertools
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import override

from cloud.alerts.model import Condition, Priority, ReadingFact
from cloud.alerts.rule import (
    Judgement,
    Level,
    Name,
    PriorityName,
    Rule,
    Strict,
    Watch,
)
from contract.messages import Quality
from contract.metrics import METRICS

_COMPARISON: Final = re.compile(r"\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")
Limit = Annotated[str, StringConstraints(pattern=r"^\s*(>=|<=|>|<)\s*-?\d+(\.\d+)?\s*$")]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`>=20` as a sign and a number."""

    sign: str
    limit: float

    @property
    def is_upward(self) -> bool:
        """Tell whether greater values fulfil it."""
        return self.sign[0] == ">"

    def holds(self, value: float) -> bool:
        """Tell whether a value fulfils it."""
        match self.sign:
            case ">=":
                return value >= self.limit
            case ">":
                return value > self.limit
            case "<=":
                return value <= self.limit
            case _:
                return value < self.limit


def comparison(text: str) -> Comparison:
    """Read a comparison.

    Raises:
        ValueError: it is not a sign and a number.
    """
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a comparison such as '>=20'")
    return Comparison(match[1], float(match[2]))


class ThresholdLevel(Strict):
    """One limit and what it means to cross it."""

    priority: PriorityName = Field(description="Priority while this level is the gravest one on.")
    raise_at: Limit = Field(description="Raised from here, in the unit of the metric: '>=20'.")
    clear_at: Limit = Field(description="Cleared from here, on the safe side of `raise_at`: '<15'.")
    for_s: float = Field(default=0.0, ge=0, le=86_400, description="So long before it counts.")
    title_zh: str = Field(default="", max_length=200, description="Title at this level, Chinese.")
    title_en: str = Field(default="", max_length=200, description="Title at this level, English.")

    @model_validator(mode="after")
    def _sides(self) -> Self:
        on, off = comparison(self.raise_at), comparison(self.clear_at)
        if on.is_upward == off.is_upward:
            raise ValueError(
                f"`raise_at: {self.raise_at}` and `clear_at: {self.clear_at}` must point opposite ways"
            )
        if (off.limit > on.limit) if on.is_upward else (off.limit < on.limit):
            raise ValueError(f"`clear_at: {self.clear_at}` lies beyond `raise_at: {self.raise_at}`")
        return self


class ThresholdRule(Rule):
    """As written in `config/rules/*.yaml`; `priority` is that of the gravest level."""

    kind: Literal["threshold"]
    metric: Name = Field(description="Metric of the contract, for example gas_lel_pct.")
    limits: tuple[ThresholdLevel, ...] = Field(
        min_length=1, max_length=4, description="Levels, mildest first."
    )
    is_state: ClassVar[bool] = False

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is not known; known: {', '.join(METRICS)}")
        steps = [comparison(level.raise_at) for level in self.limits]
        for mild, grave in itertools.pairwise(steps):
            if mild.is_upward != grave.is_upward:
                raise ValueError("all limits of a rule point the same way; write two rules")
            if (grave.limit <= mild.limit) if mild.is_upward else (grave.limit >= mild.limit):
                raise ValueError(f"limits go from mild to grave: {grave.limit:g} does not")
        names = [level.priority for level in self.limits]
        if names != sorted(names, reverse=True) or names[-1] != self.priority:
            raise ValueError("priorities rise with the limits, the last one is the rule's own")
        return self

    @property
    @override
    def levels(self) -> tuple[Level, ...]:
        return tuple(
            Level(
                Priority(int(level.priority[1])),
                round(level.for_s * 1000),
                round(self.clear_for_s * 1000),
                comparison(level.raise_at).limit,
                level.title_zh or self.title_zh,
                level.title_en or self.title_en,
            )
            for level in self.limits
        )

    @property
    @override
    def watch(self) -> Watch:
        return Watch(metrics=frozenset({self.metric}))

    @override
    def on_reading(self, condition: Condition, fact: ReadingFact) -> Judgement:
        if fact.value is None or fact.quality in {Quality.STALE, Quality.SENSOR_FAULT}:
            return Judgement(tuple(None for _ in self.limits), condition.value)
        inputs = []
        for level, gate in zip(self.limits, condition.gates, strict=True):
            if gate.is_on:
                inputs.append(not comparison(level.clear_at).holds(fact.value))
            else:
                inputs.append(comparison(level.raise_at).holds(fact.value))
        return Judgement(tuple(inputs), fact.value)

    @override
    def quiet(self, metric: str) -> tuple[float, float]:
        first = comparison(self.limits[0].raise_at)
        if first.is_upward:
            return (float("-inf"), first.limit)
        return (first.limit, float("inf"))


KIND = ThresholdRule
