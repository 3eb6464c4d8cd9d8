"""What the API tells of places, edges and devices; times in Unix ms, unknown is null."""

from typing import Any

from pydantic import BaseModel, Field

from cloud.devices.model import LinkState, Liveness, PlaceKind, ValueState


class ValueFact(BaseModel):
    """First fact: how old the newest value is; `none`: the device has no numbers."""

    state: ValueState
    measured_at: int | None


class LinkFactView(BaseModel):
    """Second fact: the link with the whole way to the device; `via` names what is broken on the way."""

    state: LinkState
    since: int | None
    reason: str
    via: str


class SelfTestFact(BaseModel):
    """Third fact: when the device last proved itself; null when it never did."""

    at: int | None
    ok: bool | None


class DeviceView(BaseModel):
    """A device with its three facts, and the one word they amount to."""

    id: str
    kind: str
    name: str
    place: str
    place_name_zh: str
    place_name_en: str
    gateway: str = Field(description="The device it speaks through; empty when none.")
    edge: str
    model: str
    period_s: float = Field(description="Seconds between two values, as configured.")
    x: float | None = Field(description="Metres from the left edge of the site plan.")
    y: float | None = Field(description="Metres from the upper edge of the site plan.")
    liveness: Liveness
    value: ValueFact
    link: LinkFactView
    self_test: SelfTestFact


class DeviceList(BaseModel):
    """Devices in the order of their ids; `next` goes into `before` for the following page."""

    devices: list[DeviceView]
    next: str | None


class MetricView(BaseModel):
    """One number of a device and its newest value; null value: sensor fault, or never measured."""

    metric: str
    unit: str
    name_zh: str
    name_en: str
    digits: int
    value: float | None
    quality: int | None = Field(
        description="0 ok, 1 stale, 2 out of range, 3 sensor fault, 4 clock untrusted"
    )
    measured_at: int | None
    received_at: int | None
    low: float | None
    high: float | None


class DeviceDetail(DeviceView):
    """A device with its numbers and its open alerts."""

    retired_at: int | None
    metrics: list[MetricView]
    alerts: list[dict[str, Any]] = Field(description="Open alerts, as in GET /api/alerts.")


class SeriesView(BaseModel):
    """A chart: buckets of [start, low, mean, high], oldest first; empty buckets are left out."""

    metric: str
    unit: str
    start: int
    end: int
    resolution: int = Field(
        description="Milliseconds a bucket is wide; 0: every reading as measured."
    )
    points: list[tuple[int, float | None, float | None, float | None]]


class SiteView(BaseModel):
    """The community and the size of its plan in metres."""

    id: str
    name_zh: str
    name_en: str
    width_m: float
    depth_m: float


class PlaceView(BaseModel):
    """A building, floor or room; x, y, width, depth in metres."""

    path: str
    kind: PlaceKind
    name_zh: str
    name_en: str
    x: float | None
    y: float | None
    width: float | None
    depth: float | None
    floors: int | None


class PlaceList(BaseModel):
    """The community and all places by path, parents before children."""

    site: SiteView | None
    places: list[PlaceView]


class EdgeView(BaseModel):
    """An edge node; `online` null when it was never heard of."""

    id: str
    name: str
    online: bool | None
    since: int | None = Field(description="When it came or went.")
    last_received_at: int | None
    born_at: int | None
    devices: int
    software: str
    config_version: int


class EdgeList(BaseModel):
    """All edge nodes that are not retired."""

    edges: list[EdgeView]


class MetricInfo(BaseModel):
    """What a number means."""

    name: str
    unit: str
    zh: str
    en: str
    digits: int


class MetricList(BaseModel):
    """Every metric Linli knows."""

    metrics: list[MetricInfo]


class Counts(BaseModel):
    """How many devices are in which state."""

    total: int = 0
    live: int = 0
    stale: int = 0
    down: int = 0
    unknown: int = 0
