"""The nouns of alerting: facts in, conditions kept, transitions out, and the alert record with its four axes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, Protocol

SYSTEM: Final = "system"
"""Who acts when no person does."""


class Priority(IntEnum):
    """1 life, 2 property and fire readiness, 3 maintenance, 4 information."""

    P1 = 1
    P2 = 2
    P3 = 3
    P4 = 4


class Phase(StrEnum):
    """First axis: what the world does."""

    NORMAL = "normal"
    PENDING = "pending"
    ACTIVE = "active"
    CLEARING = "clearing"


class Handling(StrEnum):
    """Second axis: what people have done."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    VERIFIED = "verified"
    CLOSED = "closed"


class Suppression(StrEnum):
    """Third axis: why an alert is not announced; it is evaluated and stored all the same."""

    NONE = "none"
    SHELVED = "shelved"
    INHIBITED = "inhibited"
    MAINTENANCE = "maintenance"
    TEST = "test"
    OUT_OF_SERVICE = "out_of_service"


class Trust(StrEnum):
    """Fourth axis, `quality`: how far the alert can be trusted."""

    OK = "ok"
    FLAPPING = "flapping"
    STALE = "stale"
    LATE = "late"
    UNCONFIRMED = "unconfirmed"


class Verdict(StrEnum):
    """What it turned out to be; obligatory to close priority 1 and 2."""

    REAL_FIRE = "real_fire"
    REAL_LEAK = "real_leak"
    REAL_OTHER = "real_other"
    FALSE_COOKING = "false_cooking"
    FALSE_SMOKING = "false_smoking"
    FALSE_STEAM_INSECTS = "false_steam_insects"
    DEVICE_FAULT = "device_fault"
    TEST = "test"
    DRILL = "drill"
    UNVERIFIABLE = "unverifiable"


NOT_REAL: Final = frozenset({
    Verdict.FALSE_COOKING, Verdict.FALSE_SMOKING, Verdict.FALSE_STEAM_INSECTS,
    Verdict.DEVICE_FAULT, Verdict.TEST, Verdict.DRILL,
})  # fmt: skip
"""Verdicts with which an alert may be closed although its device still alarms."""

LEGAL_PHASES: Final = MappingProxyType({
    Phase.NORMAL: frozenset({Phase.PENDING, Phase.ACTIVE}),
    Phase.PENDING: frozenset({Phase.NORMAL, Phase.ACTIVE}),
    Phase.ACTIVE: frozenset({Phase.CLEARING, Phase.NORMAL}),
    Phase.CLEARING: frozenset({Phase.ACTIVE, Phase.NORMAL}),
})  # fmt: skip
LEGAL_HANDLING: Final = MappingProxyType({
    Handling.NEW: frozenset({Handling.ACKNOWLEDGED, Handling.VERIFIED, Handling.CLOSED}),
    Handling.ACKNOWLEDGED: frozenset({Handling.NEW, Handling.VERIFIED, Handling.CLOSED}),
    Handling.VERIFIED: frozenset({Handling.NEW, Handling.VERIFIED, Handling.CLOSED}),
    Handling.CLOSED: frozenset({Handling.NEW}),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks, Unix ms: `steady` never jumps and drives timers, `wall` is what people read."""

    steady: int
    wall: int


class DeviceInfo(Protocol):
    """What alerting needs to know of a device; `x`, `y` in site metres; `gateway`, `place`, `edge` empty when none."""

    @property
    def id(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def kind(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def name(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def edge(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def gateway(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def place(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def place_name_zh(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def place_name_en(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def x(self) -> float | None: ...  # noqa: D102 - the class says it
    @property
    def y(self) -> float | None: ...  # noqa: D102 - the class says it
    @property
    def period_s(self) -> float: ...  # noqa: D102 - the class says it


@dataclass(frozen=True, slots=True)
class PlainDevice:
    """A device told by hand; of kind `unknown` when an alarm comes from one nobody registered."""

    id: str
    kind: str = "unknown"
    name: str = ""
    edge: str = ""
    gateway: str = ""
    place: str = ""
    place_name_zh: str = ""
    place_name_en: str = ""
    x: float | None = None
    y: float | None = None
    period_s: float = 60.0


class PlaceInfo(Protocol):
    """Names of a place; `x`, `y` in site metres."""

    @property
    def path(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def name_zh(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def name_en(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def x(self) -> float | None: ...  # noqa: D102 - the class says it
    @property
    def y(self) -> float | None: ...  # noqa: D102 - the class says it


class DeviceDirectory(Protocol):
    """Who knows devices and places; must answer from memory, it is asked for every change."""

    def device(self, device_id: str) -> DeviceInfo | None:
        """Give a device, None when it is not registered."""
        ...

    def place(self, path: str) -> PlaceInfo | None:
        """Give a place by its path, `b03/f02`, None when it is not known."""
        ...


@dataclass(frozen=True, slots=True)
class ReadingFact:
    """One value; None when the sensor is at fault. `quality` as in the contract.

    `is_overtaken`: a newer value of the same series has been seen before this one.
    """

    device: str
    metric: str
    value: float | None
    quality: int
    measured_at: int
    received_at: int
    is_backfill: bool = False
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True)
class AlarmFact:
    """One alarm bit of a device going on or off; `reported_by` is an edge node that does not own the device."""

    device: str
    kind: str
    is_active: bool
    measured_at: int
    received_at: int
    alarm_id: str = ""
    device_at: int | None = None
    is_test: bool = False
    is_history: bool = False
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    reported_by: str = ""


@dataclass(frozen=True, slots=True)
class EventFact:
    """A device fact that is no number; alerting hears `link_up` and `link_down`."""

    device: str
    kind: str
    measured_at: int
    received_at: int
    event_id: str = ""
    is_history: bool = False
    detail: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


Fact = ReadingFact | AlarmFact | EventFact


@dataclass(frozen=True, slots=True)
class Gate:
    """One yes-or-no with delays: `since` is event time, `due_at` the steady moment the delay ends."""

    phase: Phase = Phase.NORMAL
    since: int = 0
    due_at: int | None = None

    @property
    def is_on(self) -> bool:
        """Tell whether the gate counts as true, also while it is clearing."""
        return self.phase in {Phase.ACTIVE, Phase.CLEARING}


@dataclass(frozen=True, slots=True)
class Member:
    """One device within a combination."""

    device: str
    at: int
    is_active: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What a rule knows of one subject; everything needed to go on after a restart.

    Attributes:
        gates: one per level of the rule, mildest first.
        inputs: what each gate was told last; None is unknown.
        newest: event time of the newest fact evaluated.
        sources: what holds the condition true (alarm kinds, `silence`, `link`) and since when.
        recent_ids: the last alarms seen, so that one sent twice counts once.
        changes: steady moments of the last changes, to see flapping.
        inhibited_by: key of the condition that explains this one.
        release_at: steady moment at which the inhibition ends.
        calm_at: steady moment at which flapping is over if nothing changes until then.
        told_at: steady moment at which the value was last told to the alert.
    """

    key: str
    rule: str
    subject: str
    fingerprint: str
    gates: tuple[Gate, ...]
    inputs: tuple[bool | None, ...] = ()
    zone: str = ""
    newest: int = 0
    value: float | None = None
    sources: tuple[tuple[str, int], ...] = ()
    members: tuple[Member, ...] = ()
    recent_ids: tuple[str, ...] = ()
    changes: tuple[int, ...] = ()
    is_flapping: bool = False
    is_overflowed: bool = False
    is_history: bool = False
    inhibited_by: str | None = None
    release_at: int | None = None
    calm_at: int | None = None
    told_at: int = 0

    @property
    def level(self) -> int:
        """Give the number of the gravest gate that is on, 0 for none."""
        return max((n for n, gate in enumerate(self.gates, 1) if gate.is_on), default=0)

    @property
    def phase(self) -> Phase:
        """Give the condition axis: the most awake of the gates."""
        phases = {gate.phase for gate in self.gates}
        for phase in (Phase.ACTIVE, Phase.CLEARING, Phase.PENDING):
            if phase in phases:
                return phase
        return Phase.NORMAL

    @property
    def due_at(self) -> int | None:
        """Give the earliest steady moment at which time alone changes this condition."""
        dues = [gate.due_at for gate in self.gates if gate.due_at is not None]
        dues += [due for due in (self.release_at, self.calm_at) if due is not None]
        return min(dues, default=None)

    @property
    def is_blank(self) -> bool:
        """Tell whether nothing would be lost by forgetting this condition."""
        return self.phase is Phase.NORMAL and not (
            self.sources or self.members or self.changes or self.recent_ids or self.inhibited_by
        )


class What(StrEnum):
    """What happened to a condition; each becomes one line of the alert's history."""

    RAISED = "raised"
    REPEATED = "repeated"
    LEVEL = "level_changed"
    CLEARING = "clearing"
    CLEARED = "cleared"
    INHIBITED = "inhibited"
    RELEASED = "released"
    FLAPPING = "flapping"
    CALM = "calm"
    MEMBERS = "members_changed"
    VALUE = "value"
    RULE_EDITED = "rule_edited"
    RULE_REMOVED = "rule_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of a condition, told to the alert record of its key."""

    what: What
    key: str
    rule: str
    subject: str
    at: int
    level: int = 0
    value: float | None = None
    zone: str = ""
    measured_at: int | None = None
    received_at: int | None = None
    device_at: int | None = None
    is_test: bool = False
    is_late: bool = False
    is_history: bool = False
    is_flapping: bool = False
    inhibited_by: str | None = None
    members: tuple[str, ...] = ()
    why: str = ""

    @property
    def reported_by(self) -> str:
        """Give the edge node that says this of a device which is not its own, empty when its own does."""
        return reporter_of(self.zone)


FOREIGN: Final = "@"


def foreign_zone(edge: str) -> str:
    """Name the condition that a device has by the word of an edge node which does not own it."""
    return FOREIGN + edge


def reporter_of(zone: str) -> str:
    """Give the edge node by whose word alone a condition stands, empty for any other."""
    return zone.removeprefix(FOREIGN) if zone.startswith(FOREIGN) else ""
