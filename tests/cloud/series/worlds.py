"""The stores that the laws are held over, each with a way to let its background work happen and to start anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from cloud.kit.influx import Influx
from cloud.series.compaction import CompactionSettings, Compactor
from cloud.series.engine import MergeRule
from cloud.series.influx import Forwarder, InfluxSeries
from cloud.series.local import LocalSeries
from cloud.series.model import HOUR_MS, SeriesKey, SeriesStore
from tests.cloud.series.conftest import HandClock
from tests.cloud.series.fake_influx import FakeInflux

KEYS = [SeriesKey(f"shuibei-gas-{n:03d}", "gas_lel_pct") for n in range(1, 4)]


class World(Protocol):
    store: SeriesStore

    def settle(self) -> None:
        """Let background work go one round."""

    def restart(self) -> None:
        """Close and open again."""

    def close(self) -> None: ...


class HotWorld:
    """Nothing ever leaves the hot tables."""

    def __init__(self, path: Path) -> None:
        self.clock = HandClock()
        self.path = path
        self.store: SeriesStore = LocalSeries(path, self.clock)

    def settle(self) -> None:
        self.clock.now += 1_000

    def restart(self) -> None:
        self.store.close()
        self.store = LocalSeries(self.path, self.clock)

    def close(self) -> None:
        self.store.close()


class SealedWorld(HotWorld):
    """A round closes the hot table, but the compactor dies before a file is listed."""

    @override
    def settle(self) -> None:
        def crash(place: str) -> None:
            if place == "written":
                raise KeyboardInterrupt

        compactor = Compactor(self.path, CompactionSettings(), self.clock, reached=crash)
        try:
            compactor.close_hot(self.clock.now, even_if_few=True)
        except KeyboardInterrupt:
            pass
        finally:
            compactor.close()


class SegmentWorld(HotWorld):
    """A round writes all hot rows to files and rolls up what is over; files are never merged."""

    rule = MergeRule(fan_in=1_000, settle_ms=1 << 50)

    @override
    def settle(self) -> None:
        self.clock.now += 3 * HOUR_MS
        settings = CompactionSettings(roll_every_ms=0, grace_ms=0, merge=self.rule)
        compactor = Compactor(self.path, settings, self.clock)
        try:
            compactor.close_hot(self.clock.now, even_if_few=True)
            while compactor.step():
                pass
        finally:
            compactor.close()


class MergedWorld(SegmentWorld):
    """A round also merges whatever can be merged."""

    rule = MergeRule(fan_in=2, settle_ms=0, again_ms=0)


WORLDS: dict[str, Callable[[Path], World]] = {
    "hot": HotWorld,
    "sealed": SealedWorld,
    "segments": SegmentWorld,
    "merged": MergedWorld,
}


class InfluxWorld:
    """Rows wait here; a round forwards them."""

    def __init__(self, path: Path) -> None:
        self.clock = HandClock()
        self.path = path
        self.fake = FakeInflux()
        self.store: SeriesStore = self._open()

    def _open(self) -> InfluxSeries:
        return InfluxSeries(self.path, self.clock, self.fake.url, "o", "linli", "right")

    def settle(self) -> None:
        influx = Influx(self.fake.url, "o", "linli", "right")
        forwarder = Forwarder(self.path, self.clock, influx)
        forwarder.step()
        forwarder.close()
        influx.close()

    def restart(self) -> None:
        self.store.close()
        self.store = self._open()

    def close(self) -> None:
        self.store.close()
        self.fake.close()


WORLDS["influx"] = InfluxWorld
