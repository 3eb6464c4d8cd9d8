"""How the rest of the cloud gets at time series: open for writing, open for reading, compact beside."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cloud.kit.clock import Clock
from cloud.series.compaction import CompactionSettings, run_compaction
from cloud.series.local import LocalSeries
from cloud.series.model import SeriesReads, SeriesStore
from cloud.series.reader import SeriesReader
from contract.metrics import Retention


@dataclass(frozen=True, slots=True)
class InfluxPlace:
    """An InfluxDB 2: base address, organisation, bucket, API token."""

    url: str
    org: str
    bucket: str
    token: str = field(repr=False)


def open_series(path: Path, clock: Clock, influx: InfluxPlace | None = None) -> SeriesStore:
    """Open the store for writing and reading; the folder is made when needed.

    Args:
        path: folder of the store; with InfluxDB, of the durable rows that wait for it.
        clock: tells when readings were received.
        influx: where history lives when it does not live in the folder.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    if influx is None:
        return LocalSeries(path, clock)
    from cloud.series.influx import InfluxSeries  # noqa: PLC0415 - an extra that few install

    return InfluxSeries(path, clock, influx.url, influx.org, influx.bucket, influx.token)


def open_reader(path: Path, influx: InfluxPlace | None = None) -> SeriesReads:
    """Open the store for questions only, as the API process does; a writer has opened it before.

    Raises:
        UnavailableError: there is no such store yet.
    """
    if influx is None:
        return SeriesReader(path)
    from cloud.series.influx import InfluxReader  # noqa: PLC0415 - an extra that few install

    return InfluxReader(path, influx.url, influx.org, influx.bucket, influx.token)


def keep_days(*, safety: int, process: int, housekeeping: int) -> Mapping[str, int]:
    """Name the days that each retention class is kept."""
    return {
        Retention.SAFETY.value: safety,
        Retention.PROCESS.value: process,
        Retention.HOUSEKEEPING.value: housekeeping,
    }


def compact(
    path: Path,
    keep: Mapping[str, int],
    clock: Clock,
    stop: threading.Event,
    influx: InfluxPlace | None = None,
) -> None:
    """Run what must run beside the store until `stop`: compaction, or with InfluxDB the forwarding.

    Raises:
        ConflictError: someone else does so already.
    """
    if influx is None:
        run_compaction(path, CompactionSettings(keep_days=keep), clock, stop)
        return
    from cloud.series.influx import run_forwarding  # noqa: PLC0415 - an extra that few install

    run_forwarding(path, clock, stop, influx.url, influx.org, influx.bucket, influx.token)
