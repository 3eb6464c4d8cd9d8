"""What people ask about devices, over real stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.devices import registry, store
from cloud.devices.model import LinkState, Liveness, ValueState
from cloud.devices.service import DeviceService
from cloud.devices.site import parse_site
from cloud.errors import ConflictError, InvalidError, NotFoundError
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.series.local import LocalSeries
from cloud.series.model import SeriesKey
from contract.codec import model_hash
from contract.messages import Birth, DeviceBirth, MetricBirth
from tests.cloud.devices.test_site import GOOD

NOW = 1_764_000_000_000


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def now_ms(self) -> int:
        return self.now

    def monotonic_s(self) -> float:
        return self.now / 1_000


def birth(*ids: str, gateway: str = "", kind: str = "gas") -> Birth:
    devices = [
        DeviceBirth(
            id=name,
            kind=kind,
            model="m",
            name=f"{name} 厨房",
            place="b01/f01/r101",
            gateway=gateway,
            period_s=2.0,
        )
        for name in ids
    ]
    metrics = [
        MetricBirth(alias=n, device=name, metric="gas_lel_pct", low=0.0, high=float("inf"))
        for n, name in enumerate(ids)
    ]
    return Birth(
        epoch=1, boot=1, at=NOW, software="t", model=model_hash(devices, metrics),
        devices=devices, metrics=metrics,
    )  # fmt: skip


class World:
    """A database and a series store with their service."""

    def __init__(self, folder: Path, url: str) -> None:
        self.clock = SetClock()
        self.database = Database(url)
        self.database.create_all()
        self.series = LocalSeries(folder / "series", self.clock)
        self.alerts: list[dict[str, object]] = []
        self.service = DeviceService(
            self.database, self.series, clock=self.clock, open_alerts=lambda _device: self.alerts
        )
        with self.database.write() as connection:
            journal.start(connection, 1)
            registry.import_site(connection, parse_site(GOOD, "site.yaml"))

    def born(self, edge: str, message: Birth) -> tuple[str, ...]:
        with self.database.write() as connection:
            outcome = registry.apply_birth(connection, edge, message, self.clock.now)
            registry.apply_online(connection, edge, is_online=True, at=self.clock.now)
        self.clock.now += 1_000
        return outcome.foreign

    def link(self, device: str, *, is_up: bool, at: int = NOW) -> None:
        with self.database.write() as connection:
            registry.apply_link(
                connection, device, is_up=is_up, measured_at=at, reason="r", at=self.clock.now
            )
        self.clock.now += 1_000

    def measure(self, device: str, value: float | None, at: int) -> None:
        key = SeriesKey(device, "gas_lel_pct")
        number = self.series.register([key])[key]
        self.series.append([(at, number, value, 0)], [])
        self.clock.now += 1_000


@pytest.fixture
def world(tmp_path: Path, database_url: str) -> Iterator[World]:
    made = World(tmp_path, database_url)
    yield made
    made.series.close()
    made.database.close()


def test_a_device_is_unknown_then_live_then_stale_then_down(world: World) -> None:
    world.born("e1", birth("gas-1"))
    service = world.service

    def word() -> Liveness:
        return service.search().devices[0].liveness

    assert word() is Liveness.UNKNOWN
    world.measure("gas-1", 1.0, world.clock.now)
    assert word() is Liveness.LIVE
    world.clock.now += 20_000
    assert word() is Liveness.STALE
    world.link("gas-1", is_up=False)
    view = service.search().devices[0]
    assert (view.liveness, view.value.state, view.link.reason) == (
        Liveness.DOWN, ValueState.STALE, "r",
    )  # fmt: skip
    with world.database.write() as connection:
        registry.apply_online(connection, "e1", is_online=False, at=world.clock.now)
    world.clock.now += 2_000
    view = service.search().devices[0]
    assert (view.liveness, view.link.via) == (Liveness.UNKNOWN, "e1")
    counts = service.counts()
    assert counts[""].model_dump() == {"total": 1, "live": 0, "stale": 0, "down": 0, "unknown": 1}
    assert counts["gas"].unknown == 1


def test_an_older_link_fact_never_overwrites_a_newer_one(world: World) -> None:
    world.born("e1", birth("gas-1"))
    world.link("gas-1", is_up=True, at=NOW + 10)
    world.link("gas-1", is_up=False, at=NOW)
    with world.database.read() as connection:
        device = store.device(connection, "gas-1")
    assert device is not None
    assert device.link is LinkState.UP


def test_a_device_that_its_edge_no_longer_names_is_retired_not_deleted(world: World) -> None:
    world.born("e1", birth("gas-1", "gas-2"))
    world.born("e1", birth("gas-2"))
    assert [device.id for device in world.service.search().devices] == ["gas-2"]
    gone = world.service.get("gas-1")
    assert gone.retired_at is not None
    assert gone.liveness is Liveness.UNKNOWN
    world.born("e1", birth("gas-1", "gas-2"))
    assert world.service.get("gas-1").retired_at is None


def test_a_device_belongs_to_one_edge_until_that_edge_is_retired(world: World) -> None:
    assert world.born("e1", birth("gas-1")) == ()
    assert world.born("e2", birth("gas-1", "gas-2")) == ("gas-1",)
    with pytest.raises(ConflictError, match="online"):
        world.service.retire_edge("e1")
    with world.database.write() as connection:
        registry.apply_online(connection, "e1", is_online=False, at=world.clock.now)
    world.service.retire_edge("e1")
    with pytest.raises(NotFoundError):
        world.service.retire_edge("e1")
    assert world.born("e2", birth("gas-1", "gas-2")) == ()
    assert world.service.get("gas-1").edge == "e2"


def test_the_same_birth_again_writes_no_device(world: World) -> None:
    world.born("e1", birth("gas-1"))
    with world.database.write() as connection:
        head = journal.head(connection).seq
        outcome = registry.apply_birth(connection, "e1", birth("gas-1"), NOW + 5)
        assert journal.head(connection).seq == head
    assert not outcome.is_new


def test_search_finds_words_of_id_name_and_place_and_pages(world: World) -> None:
    world.born("e1", birth(*(f"gas-{n}" for n in range(5))))
    page = world.service.search(limit=2)
    assert ([device.id for device in page.devices], page.next) == (["gas-0", "gas-1"], "gas-1")
    rest = world.service.search(limit=10, before=page.next)
    assert ([device.id for device in rest.devices], rest.next) == (
        ["gas-2", "gas-3", "gas-4"],
        None,
    )
    assert len(world.service.search(text="老王 gas-3").devices) == 1
    assert len(world.service.search(text="lao wang").devices) == 5
    assert not world.service.search(text="nowhere").devices
    assert not world.service.search(kind="smoke").devices
    assert len(world.service.search(state=Liveness.UNKNOWN).devices) == 5


def test_a_device_is_shown_with_values_and_alerts_and_a_range_that_json_can_hold(
    world: World,
) -> None:
    world.born("e1", birth("gas-1"))
    world.measure("gas-1", 4.5, NOW + 7)
    world.alerts.append({"id": "a1"})
    shown = world.service.get("gas-1")
    (metric,) = shown.metrics
    assert (metric.value, metric.measured_at, metric.unit) == (4.5, NOW + 7, "%LEL")
    assert (metric.low, metric.high) == (0.0, None)
    assert shown.alerts == [{"id": "a1"}]
    assert shown.place_name_zh == "水贝一街1号 1层 老王川菜馆"
    with pytest.raises(NotFoundError):
        world.service.get("nobody")


def test_a_short_chart_is_as_measured_and_a_long_one_keeps_its_spikes(world: World) -> None:
    world.born("e1", birth("gas-1"))
    for n in range(10):
        world.measure("gas-1", 90.0 if n == 7 else 1.0, NOW + n * 2_000)
    world.clock.now += 2_000
    short = world.service.series("gas-1", "gas_lel_pct", start=NOW, end=NOW + 20_000, points=100)
    assert short.resolution == 0
    assert len(short.points) == 10
    long = world.service.series("gas-1", "gas_lel_pct", start=NOW, end=NOW + 86_400_000, points=50)
    assert max(point[3] or 0 for point in long.points) == 90.0
    with pytest.raises(InvalidError):
        world.service.series("gas-1", "gas_lel_pct", start=5, end=5, points=10)
    with pytest.raises(NotFoundError):
        world.service.series("gas-1", "level_m", start=0, end=5, points=10)


def test_edges_and_places_are_told(world: World) -> None:
    world.born("shuibei-edge-1", birth("gas-1"))
    (edge,) = world.service.edges().edges
    assert (edge.name, edge.online, edge.devices) == ("一号边缘节点", True, 1)
    places = world.service.places()
    assert places.site is not None
    assert [place.path for place in places.places] == ["b01", "b01/f01", "b01/f01/r101"]
