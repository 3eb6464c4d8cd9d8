"""What people ask about places, edges and devices, and the few commands they give."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloud.devices import place_store, registry, store
from cloud.devices.directory import Directory
from cloud.devices.model import (
    Device,
    DeviceMetric,
    LinkFact,
    Liveness,
    liveness,
    value_state,
)
from cloud.devices.view import (
    Counts,
    DeviceDetail,
    DeviceList,
    DeviceView,
    EdgeList,
    EdgeView,
    LinkFactView,
    MetricInfo,
    MetricList,
    MetricView,
    PlaceList,
    PlaceView,
    SelfTestFact,
    SeriesView,
    SiteView,
    ValueFact,
)
from cloud.errors import ConflictError, InvalidError, NotFoundError
from cloud.kit.clock import Clock
from cloud.kit.sql import Database
from cloud.series.model import Latest, SeriesReads
from contract.metrics import METRICS

SNAPSHOT_S: Final = 1.0
RAW_LIMIT: Final = 20_000
SPAN_LIMIT_MS: Final = 20 * 366 * 86_400_000
ChartPoint = tuple[int, float | None, float | None, float | None]
OpenAlerts = Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Everything of one moment, shared by all who ask within a second."""

    taken_s: float
    directory: Directory
    newest: Mapping[tuple[str, str], Latest]
    series: Mapping[tuple[str, str], int]


class DeviceService:
    """Reads are from a snapshot at most a second old; `open_alerts` gives a device's open alerts."""

    def __init__(
        self,
        database: Database,
        series: SeriesReads,
        *,
        clock: Clock,
        open_alerts: OpenAlerts = lambda _device: (),
    ) -> None:
        self._database = database
        self._series = series
        self._clock = clock
        self._open_alerts = open_alerts
        self._lock = threading.Lock()
        self._kept: _Snapshot | None = None

    def _snapshot(self) -> _Snapshot:
        with self._lock:
            now = self._clock.monotonic_s()
            if self._kept is None or now - self._kept.taken_s >= SNAPSHOT_S:
                directory = Directory()
                with self._database.read() as connection:
                    directory.refresh(connection)
                keys = self._series.keys()
                names = {number: (key.device, key.metric) for number, key in keys.items()}
                latest = self._series.latest()
                newest = {names[item.series]: item for item in latest if item.series in names}
                series = {name: number for number, name in names.items()}
                self._kept = _Snapshot(now, directory, newest, series)
            return self._kept

    def search(
        self,
        *,
        kind: str | None = None,
        text: str | None = None,
        state: Liveness | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> DeviceList:
        """Give devices in the order of their ids, those after `before`; `text` is sought in id, names and place."""
        snapshot = self._snapshot()
        now = self._clock.now_ms()
        words = text.casefold().split() if text else []
        found: list[DeviceView] = []
        for device in snapshot.directory.devices.values():
            if (before is not None and device.id <= before) or (kind and device.kind != kind):
                continue
            view = self._view(snapshot, device, now)
            if (state is not None and view.liveness is not state) or not _matches(view, words):
                continue
            if len(found) == limit:
                return DeviceList(devices=found, next=found[-1].id)
            found.append(view)
        return DeviceList(devices=found, next=None)

    def get(self, device_id: str) -> DeviceDetail:
        """Give one device, also a retired one; raises NotFoundError."""
        snapshot = self._snapshot()
        device = self._find(snapshot, device_id)
        view = self._view(snapshot, device, self._clock.now_ms())
        return DeviceDetail(
            **view.model_dump(),
            retired_at=device.retired_at,
            metrics=[_metric_view(snapshot, device, metric) for metric in device.metrics],
            alerts=[dict(alert) for alert in self._open_alerts(device.id)],
        )

    def _find(self, snapshot: _Snapshot, device_id: str) -> Device:
        device = snapshot.directory.devices.get(device_id)
        if device is None:
            with self._database.read() as connection:
                device = store.device(connection, device_id)
        if device is None:
            raise NotFoundError(
                f"no device {device_id[:64]!r}", "look it up in the list of devices"
            )
        return device

    def series(
        self, device_id: str, metric: str, *, start: int, end: int, points: int
    ) -> SeriesView:
        """Give a chart of [start, end), Unix ms: as measured when that is not more than `points`.

        Raises:
            NotFoundError: there is no such device, or it never sent this metric.
            InvalidError: the range is empty or longer than twenty years.
        """
        if not start < end <= start + SPAN_LIMIT_MS:
            raise InvalidError("start must lie before end, at most twenty years")
        snapshot = self._snapshot()
        self._find(snapshot, device_id)
        number = snapshot.series.get((device_id, metric))
        if number is None:
            raise NotFoundError(f"{device_id} never sent {metric[:64]!r}")
        known = METRICS.get(metric)
        head: dict[str, Any] = {
            "metric": metric,
            "unit": known.unit if known else "",
            "start": start,
            "end": end,
        }
        raw = self._raw(device_id, number, start, end, points)
        if raw is not None:
            return SeriesView(**head, resolution=0, points=list(raw))
        buckets = self._series.chart(number, start, end, points)
        width = -(-(end - start) // points)
        return SeriesView(
            **head,
            resolution=width,
            points=[(bucket.start, bucket.low, bucket.mean, bucket.high) for bucket in buckets],
        )

    def _raw(
        self, device_id: str, number: int, start: int, end: int, points: int
    ) -> Sequence[ChartPoint] | None:
        """Give the readings themselves if, by the device's period, they are about as few as asked for."""
        device = self._snapshot().directory.devices.get(device_id)
        period_ms = max(1.0, (device.period_s if device else 60.0) * 1_000)
        if (end - start) / period_ms > points:
            return None
        found = self._series.raw(number, start, end, points + 1)
        if len(found) > points:
            return None
        return [(point.measured_at, point.value, point.value, point.value) for point in found]

    def edges(self) -> EdgeList:
        """Give all edge nodes by id."""
        directory = self._snapshot().directory
        counts = Counter(device.edge for device in directory.devices.values())
        return EdgeList(
            edges=[
                EdgeView(
                    id=edge.id,
                    name=edge.name,
                    online=edge.is_online,
                    since=edge.online_since,
                    last_received_at=edge.last_seen_at,
                    born_at=edge.born_at,
                    devices=counts[edge.id],
                    software=edge.software,
                    config_version=edge.config_version,
                )
                for edge in directory.edges.values()
            ]
        )

    def places(self) -> PlaceList:
        """Give the community and its places."""
        with self._database.read() as connection:
            site = place_store.site(connection)
            places = place_store.places(connection)
        return PlaceList(
            site=SiteView(**asdict(site)) if site is not None else None,
            places=[PlaceView(**asdict(place)) for place in places.values()],
        )

    def counts(self) -> dict[str, Counts]:
        """Count devices by kind and state; the empty kind is the sum of all."""
        snapshot = self._snapshot()
        now = self._clock.now_ms()
        counts: dict[str, Counts] = {"": Counts()}
        for device in snapshot.directory.devices.values():
            word = self._liveness(snapshot, device, now)[2].value
            for kind in ("", device.kind):
                count = counts.setdefault(kind, Counts())
                count.total += 1
                setattr(count, word, getattr(count, word) + 1)
        return counts

    def retire_edge(self, edge_id: str) -> None:
        """Release the devices of an edge that is gone for good.

        Raises:
            NotFoundError: there is no such edge.
            ConflictError: it is online.
        """
        now = self._clock.now_ms()
        with self._database.write() as connection:
            edge = store.edge(connection, edge_id)
            if edge is None or edge.retired_at is not None:
                raise NotFoundError(f"no edge {edge_id[:64]!r}")
            if edge.is_online:
                raise ConflictError(f"{edge_id} is online", "switch it off first")
            registry.retire_edge(connection, edge_id, now)
        self._kept = None

    def _view(self, snapshot: _Snapshot, device: Device, now: int) -> DeviceView:
        info = snapshot.directory.device(device.id)
        value, link, word = self._liveness(snapshot, device, now)
        return DeviceView(
            id=device.id,
            kind=device.kind,
            name=device.name,
            place=device.place,
            place_name_zh=info.place_name_zh if info else "",
            place_name_en=info.place_name_en if info else "",
            gateway=device.gateway,
            edge=device.edge,
            model=device.model,
            period_s=device.period_s,
            x=info.x if info else None,
            y=info.y if info else None,
            liveness=word,
            value=value,
            link=LinkFactView(state=link.state, since=link.since, reason=link.reason, via=link.via),
            self_test=SelfTestFact(at=device.self_test_at, ok=device.self_test_ok),
        )

    def _liveness(
        self, snapshot: _Snapshot, device: Device, now: int
    ) -> tuple[ValueFact, LinkFact, Liveness]:
        times = [
            snapshot.newest[device.id, metric.metric].measured_at
            for metric in device.metrics
            if (device.id, metric.metric) in snapshot.newest
        ]
        measured_at = max(times, default=None)
        state = value_state(
            measured_at, has_metrics=bool(device.metrics), period_s=device.period_s, now=now
        )
        link = snapshot.directory.link_of(device)
        word = Liveness.UNKNOWN if device.retired_at else liveness(state, link)
        return ValueFact(state=state, measured_at=measured_at), link, word


def metrics() -> MetricList:
    """Give the table of metrics."""
    return MetricList(
        metrics=[
            MetricInfo(name=m.name, unit=m.unit, zh=m.zh, en=m.en, digits=m.digits)
            for m in METRICS.values()
        ]
    )


def _matches(view: DeviceView, words: Sequence[str]) -> bool:
    if not words:
        return True
    where = f"{view.id} {view.name} {view.place} {view.place_name_zh} {view.place_name_en}"
    return all(word in where.casefold() for word in words)


def _metric_view(snapshot: _Snapshot, device: Device, metric: DeviceMetric) -> MetricView:
    known = METRICS.get(metric.metric)
    newest = snapshot.newest.get((device.id, metric.metric))
    return MetricView(
        metric=metric.metric,
        unit=known.unit if known else "",
        name_zh=known.zh if known else metric.metric,
        name_en=known.en if known else metric.metric,
        digits=known.digits if known else 2,
        value=newest.value if newest else None,
        quality=newest.quality if newest else None,
        measured_at=newest.measured_at if newest else None,
        received_at=newest.received_at if newest else None,
        low=metric.low,
        high=metric.high,
    )
