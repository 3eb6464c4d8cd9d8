"""Nobody hears from it: silence beyond the expected period, a reported broken link, an edge that is gone.

What is behind a silent edge node or gateway is inhibited by it: one alert, not 37.
"""

from typing import ClassVar, Final, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from cloud.alerts.model import Condition, DeviceInfo, EventFact
from cloud.alerts.rule import Judgement, Level, Rule, Strict, Watch

LINK: Final = "link"
SILENCE: Final = "silence"
BEHIND: Final = "behind"


class Silence(Strict):
    """When silence is too long: the expected period × factor + jitter, at least min."""

    factor: float = Field(default=3.0, ge=1.5, le=100, description="So many expected periods.")
    jitter_s: float = Field(default=5.0, ge=0, le=3_600, description="Added for the way.")
    min_s: float = Field(default=60.0, ge=5, le=604_800, description="Never sooner than this.")


class Collapse(Strict):
    """When so many devices behind a gateway are silent, the gateway is what is down."""

    share: float = Field(default=0.5, gt=0, le=1, description="Share of the gateway's devices.")
    at_least: int = Field(default=3, ge=2, le=1_000, description="And at least so many.")


class AbsenceRule(Rule):
    """As written in `config/rules/*.yaml`."""

    kind: Literal["absence"]
    scope: Literal["edge", "gateway", "device"] = Field(
        description="What is missing: an edge node, a gateway (or bus), or a device."
    )
    for_s: float = Field(
        default=15.0, ge=0, le=86_400, description="A reported break counts after so long."
    )
    silence: Silence | None = Field(default=None, description="Also judge by silence.")
    collapse: Collapse | None = Field(default=None, description="Scope gateway only.")
    return_grace_s: float = Field(
        default=90.0, ge=0, le=86_400, description="What was behind it stays inhibited so long."
    )
    is_state: ClassVar[bool] = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.collapse is not None and self.scope != "gateway":
            raise ValueError("`collapse` is for `scope: gateway`")
        if self.silence is not None and self.scope == "edge":
            raise ValueError("an edge tells its own end; `silence` is for gateways and devices")
        return self

    @property
    @override
    def levels(self) -> tuple[Level, ...]:
        return (Level(self.rank, round(self.for_s * 1000), round(self.clear_for_s * 1000)),)

    @property
    @override
    def watch(self) -> Watch:
        return Watch(links=True)

    @override
    def on_event(self, condition: Condition, fact: EventFact) -> Judgement | None:
        held = dict(condition.sources)
        match fact.kind:
            case "link_down":
                held.setdefault(LINK, fact.measured_at)
            case "link_up":
                held.clear()
            case _:
                return None
        return Judgement((bool(held),), sources=tuple(sorted(held.items())))

    def silence_ms(self, device: DeviceInfo) -> int | None:
        """Give how long a device may be silent, None when silence says nothing."""
        if self.silence is None:
            return None
        wait_s = device.period_s * self.silence.factor + self.silence.jitter_s
        return round(max(wait_s, self.silence.min_s) * 1000)

    def on_silence(self, condition: Condition, source: str, at: int) -> Judgement:
        """Judge that nothing was heard; `source` says how that was noticed."""
        held = {**dict(condition.sources), source: at}
        return Judgement((True,), sources=tuple(sorted(held.items())))

    def on_heard(self, condition: Condition, measured_at: int) -> Judgement | None:
        """Judge a sign of life; data measured before the link broke says nothing about the link."""
        held = dict(condition.sources)
        held.pop(SILENCE, None)
        held.pop(BEHIND, None)
        if held.get(LINK, measured_at) < measured_at:
            held.pop(LINK)
        if held == dict(condition.sources):
            return None
        return Judgement((bool(held),), sources=tuple(sorted(held.items())))


KIND = AbsenceRule
