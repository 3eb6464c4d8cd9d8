"""What every rule has, whatever its kind: names, priority, delays, limits of noise, and the runbook."""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from cloud.alerts.model import (
    AlarmFact,
    Condition,
    DeviceInfo,
    EventFact,
    Gate,
    Priority,
    ReadingFact,
)

RuleId = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$", max_length=64)
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
PriorityName = Literal["P1", "P2", "P3", "P4"]
EVERYTHING = (float("-inf"), float("inf"))
NOTHING = (float("inf"), float("-inf"))


class Strict(BaseModel):
    """Settings are frozen, and a misspelt one is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Runbook(Strict):
    """Why it happens, what follows, what to do: an alert without a response is no alert (ISA-18.2)."""

    cause: LongText = Field(description="What usually causes it, in Chinese.")
    consequence: LongText = Field(description="What happens if nobody acts, in Chinese.")
    response: LongText = Field(description="What to do, in order, in Chinese.")
    respond_within_s: int = Field(gt=0, le=2_592_000, description="Time to respond, seconds.")
    cause_en: LongText = Field(description="The cause in English.")
    consequence_en: LongText = Field(description="The consequence in English.")
    response_en: LongText = Field(description="The response in English.")


class Devices(Strict):
    """Which devices a rule is about; an empty list means all."""

    kinds: tuple[Name, ...] = Field(default=(), description="Kinds of devices: smoke, gas, …")
    ids: tuple[Name, ...] = Field(default=(), description="Single devices.")
    places: tuple[Name, ...] = Field(
        default=(), description="Paths of places; everything inside counts."
    )

    def include(self, device: DeviceInfo) -> bool:
        """Tell whether the rule is about this device; one of unknown kind may be anything."""
        if self.kinds and device.kind not in self.kinds and device.kind != "unknown":
            return False
        if self.ids and device.id not in self.ids:
            return False
        return not self.places or any(
            f"{device.place}/".startswith(f"{place}/") for place in self.places
        )


class Flap(Strict):
    """When a condition changes too often, it is held active and marked."""

    changes: int = Field(default=6, ge=2, le=100, description="So many changes …")
    within_s: int = Field(default=600, ge=1, le=86_400, description="… within these seconds.")


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a rule, as the engine needs it; delays in milliseconds."""

    priority: Priority
    for_ms: int = 0
    clear_ms: int = 0
    limit: float | None = None
    title_zh: str = ""
    title_en: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule makes of one fact: an input for each gate, and what the condition then remembers.

    `is_repeat` counts the fact as a new occurrence though nothing changed.
    """

    inputs: tuple[bool | None, ...]
    value: float | None = None
    sources: tuple[tuple[str, int], ...] = ()
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Who the rule hears: metrics (`*` for all), alarm kinds (`*` for those no other rule names), link events."""

    metrics: frozenset[str] = field(default_factory=frozenset)
    alarms: frozenset[str] = field(default_factory=frozenset)
    links: bool = False


class Rule(Strict):
    """As written in `config/rules/*.yaml`."""

    id: RuleId = Field(description="Name of the rule, never reused for another meaning.")
    title_zh: Text = Field(
        description="What duty staff read, in Chinese; {kind} is the alarm kind."
    )
    title_en: Text = Field(description="What duty staff read, in English.")
    priority: PriorityName = Field(description="P1 life, P2 property, P3 maintenance, P4 info.")
    devices: Devices = Field(default=Devices(), description="Which devices it is about.")
    clear_for_s: float = Field(
        default=30.0, ge=0, le=86_400, description="How long it must be over before it clears."
    )
    latch: bool = Field(default=False, description="Stays active until a person verified it.")
    closes_itself: bool | None = Field(
        default=None, description="Closes when it clears; without saying so: P3 and P4 do."
    )
    ack_within_s: int | None = Field(
        default=None,
        ge=10,
        le=604_800,
        description="An acknowledgement without verdict lapses; P1 300, P2 1800 s unless said.",
    )
    reopen_window_s: int | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="Firing again so soon after closing opens the same alert; P1 0, else 600 s.",
    )
    lateness_s: int = Field(
        default=120, ge=1, le=86_400, description="Older facts raise only an alert marked late."
    )
    max_active: int = Field(
        default=500, ge=1, le=10_000, description="More are summed up in one overflow alert."
    )
    flap: Flap = Field(default=Flap(), description="When it counts as flapping.")
    runbook: Runbook = Field(description="What to know and do.")
    is_state: ClassVar[bool] = True
    """Whether it is about a state that a device tells itself (a late P1 of these is announced)."""

    @field_validator("priority", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return f"P{int(value)}" if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def rank(self) -> Priority:
        """Give the priority as a number."""
        return Priority(int(self.priority[1]))

    @property
    def levels(self) -> tuple[Level, ...]:
        """Give the levels, mildest first."""
        return (Level(self.rank, 0, round(self.clear_for_s * 1000)),)

    @property
    def watch(self) -> Watch:
        """Tell what the rule must hear."""
        return Watch()

    @property
    def lateness_ms(self) -> int:
        """Give the age from which a fact is late."""
        return self.lateness_s * 1000

    @property
    def fingerprint(self) -> str:
        """Give a hash that changes whenever anything in the rule does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def blank(self, subject: str, zone: str = "") -> Condition:
        """Make the condition of a subject of which nothing is known yet."""
        key = f"{self.id}|{subject}|{zone}" if zone else f"{self.id}|{subject}"
        gates = tuple(Gate() for _ in self.levels)
        return Condition(key, self.id, subject, self.fingerprint, gates, zone=zone)

    def zone_of(self, kind: str) -> str:  # noqa: ARG002 - kinds of rules override it
        """Tell by what else than the device an alarm of this kind is told apart."""
        return ""

    def on_reading(self, condition: Condition, fact: ReadingFact) -> Judgement | None:  # noqa: ARG002 - kinds override it
        """Judge a reading; None when it says nothing to this rule."""
        return None

    def on_alarm(self, condition: Condition, fact: AlarmFact) -> Judgement | None:  # noqa: ARG002 - kinds override it
        """Judge a device's alarm bit; None when it says nothing to this rule."""
        return None

    def on_event(self, condition: Condition, fact: EventFact) -> Judgement | None:  # noqa: ARG002 - kinds override it
        """Judge an event; None when it says nothing to this rule."""
        return None

    def quiet(self, metric: str) -> tuple[float, float]:  # noqa: ARG002 - kinds of rules override it
        """Give the open interval in which a value changes nothing while the condition is normal."""
        return EVERYTHING

    def closes(self, priority: Priority) -> bool:
        """Tell whether an alert of this priority closes when its condition clears."""
        return self.closes_itself if self.closes_itself is not None else priority >= Priority.P3

    def acknowledgement_s(self, priority: Priority) -> int | None:
        """Give how long an acknowledgement holds without a verdict, None for ever."""
        if self.ack_within_s is not None:
            return self.ack_within_s
        return {Priority.P1: 300, Priority.P2: 1_800}.get(priority)

    def reopen_ms(self, priority: Priority) -> int:
        """Give how soon after closing the same record is opened again."""
        if self.reopen_window_s is not None:
            return self.reopen_window_s * 1000
        return 0 if priority is Priority.P1 else 600_000
