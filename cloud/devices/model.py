"""The nouns of places, edge nodes and devices, and how three separate facts become one word. Pure.

Value age, link and self-test age are never mixed into one "online": a detector that nobody has heard of
is `unknown`, and unknown is not normal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STALE_PERIODS: Final = 3
STALE_FLOOR_MS: Final = 15_000
FUTURE_MS: Final = 5_000


class PlaceKind(StrEnum):
    """A step of the path of places below the community."""

    BUILDING = "building"
    FLOOR = "floor"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Site:
    """The community: its plan is `width_m` x `depth_m` metres, origin at the upper left corner."""

    id: str
    name_zh: str
    name_en: str
    width_m: float
    depth_m: float


@dataclass(frozen=True, slots=True)
class Place:
    """A building, floor or room; x, y, width, depth in metres (a room's on its floor plan), null if not drawn."""

    path: str
    kind: PlaceKind
    name_zh: str
    name_en: str
    x: float | None = None
    y: float | None = None
    width: float | None = None
    depth: float | None = None
    floors: int | None = None


class LinkState(StrEnum):
    """Whether a device can be spoken with, as far as anybody knows."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class ValueState(StrEnum):
    """How lately a device's numbers were measured; `none`: it has none."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"
    NONE = "none"


class Liveness(StrEnum):
    """The one word of lists and counts; the worst of the facts, `unknown` when they do not suffice."""

    LIVE = "live"
    STALE = "stale"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge node; times in Unix ms, null while it never happened."""

    id: str
    name: str
    is_online: bool | None
    online_since: int | None
    last_seen_at: int | None
    born_at: int | None
    model: int | None
    software: str
    boot: int | None
    config_version: int
    retired_at: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its edge's newest birth and the site file describe it; times in Unix ms, x, y in site metres."""

    id: str
    edge: str
    kind: str
    model: str
    name: str
    place: str
    gateway: str
    period_s: float
    born_at: int
    x: float | None = None
    y: float | None = None
    link: LinkState = LinkState.UNKNOWN
    link_since: int | None = None
    link_reason: str = ""
    self_test_at: int | None = None
    self_test_ok: bool | None = None
    retired_at: int | None = None
    metrics: tuple["DeviceMetric", ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceMetric:
    """One number of a device; `low` and `high` are its range in the metric's unit, null when not told."""

    metric: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as alerting asks for it: with the names of its place and its position in site metres."""

    id: str
    kind: str
    name: str
    edge: str
    gateway: str = ""
    place: str = ""
    place_name_zh: str = ""
    place_name_en: str = ""
    x: float | None = None
    y: float | None = None
    period_s: float = 60.0


@dataclass(frozen=True, slots=True)
class PlaceInfo:
    """A place with the names of the whole path; `x`, `y` are those of its building in site metres."""

    path: str
    name_zh: str
    name_en: str
    x: float | None
    y: float | None


@dataclass(frozen=True, slots=True)
class LinkFact:
    """A link with the whole way to the device in it; `via` names what is broken on the way, or nothing."""

    state: LinkState
    since: int | None
    reason: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class BirthOutcome:
    """What a birth changed; `foreign` belong to another edge and stay there, `taken` came from one that is gone."""

    is_new: bool
    foreign: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AliasPlan:
    """What the aliases of one birth stand for: (alias, device, metric); `foreign` ones were not taken."""

    model: int
    metrics: tuple[tuple[int, str, str], ...]
    foreign: tuple[int, ...] = ()


def value_state(
    measured_at: int | None, *, has_metrics: bool, period_s: float, now: int
) -> ValueState:
    """Judge the age of a device's newest value; one from the future proves nothing."""
    if not has_metrics:
        return ValueState.NONE
    if measured_at is None or measured_at > now + FUTURE_MS:
        return ValueState.UNKNOWN
    limit = max(STALE_FLOOR_MS, int(period_s * 1_000 * STALE_PERIODS))
    return ValueState.FRESH if now - measured_at <= limit else ValueState.STALE


def link_fact(
    device: Device, devices: Mapping[str, Device], edges: Mapping[str, Edge], *, depth: int = 4
) -> LinkFact:
    """Judge a device's link with its gateways and its edge.

    A broken link further up does not say that the device is down: it says that nobody can know.
    """
    edge = edges.get(device.edge)
    if edge is None or not edge.is_online:
        since = edge.online_since if edge else None
        return LinkFact(LinkState.UNKNOWN, since, "edge offline", device.edge)
    if device.id == edge.id:
        return LinkFact(LinkState.UP, edge.online_since, "online")
    gateway = devices.get(device.gateway) if depth > 0 and device.gateway else None
    if gateway is not None:
        above = link_fact(gateway, devices, edges, depth=depth - 1)
        if above.state is LinkState.DOWN:
            return LinkFact(LinkState.UNKNOWN, above.since, "gateway down", above.via or gateway.id)
    return LinkFact(device.link, device.link_since, device.link_reason)


def liveness(value: ValueState, link: LinkFact) -> Liveness:
    """Give the one word; a fresh value proves the link, silence proves nothing."""
    if link.state is LinkState.DOWN:
        return Liveness.DOWN
    if link.state is LinkState.UNKNOWN and (link.via or value is not ValueState.FRESH):
        return Liveness.STALE if value is ValueState.STALE and not link.via else Liveness.UNKNOWN
    match value:
        case ValueState.STALE:
            return Liveness.STALE
        case ValueState.UNKNOWN:
            return Liveness.UNKNOWN
        case _:
            return Liveness.LIVE


def place_names(path: str, places: Mapping[str, Place]) -> tuple[str, str]:
    """Give the names of a path for people, Chinese and English; parts nobody named stand as written."""
    zh, en, walked = [], [], ""
    for part in filter(None, path.split("/")):
        walked = f"{walked}/{part}" if walked else part
        place = places.get(walked)
        zh.append(place.name_zh if place else part)
        en.append(place.name_en if place else part)
    return " ".join(zh), ", ".join(reversed(en))


def position(device: Device, places: Mapping[str, Place]) -> tuple[float | None, float | None]:
    """Give a device's site coordinates: its own, else those of its building."""
    if device.x is not None and device.y is not None:
        return device.x, device.y
    building = places.get(device.place.split("/", 1)[0])
    return (building.x, building.y) if building else (None, None)
