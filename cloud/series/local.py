"""The default store: SQLite for what is hot, Parquet for what is closed; nothing to install."""

import threading
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from cloud.kit import hot
from cloud.kit.clock import Clock
from cloud.series import store
from cloud.series.model import Bucket, LaneMark, Latest, Point, Row, SeriesKey, SeriesStore
from cloud.series.reader import DATABASE, SEGMENTS, SeriesReader
from contract.metrics import METRICS, Retention


class LocalSeries(SeriesStore):
    """Writes and reads one folder; compaction runs beside it, in a process or thread of its own.

    Several writers may share a folder; they take turns.

    Args:
        path: the folder, made when needed.
        clock: tells when readings were received.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._writer = open_database(path)
        self._reader = SeriesReader(path)

    @override
    def register(self, keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
        classes = [retention_of(key.metric) for key in keys]
        with self._lock, hot.writing(self._writer):
            return store.register(self._writer, keys, classes)

    @override
    def append(self, rows: Sequence[Row], marks: Sequence[LaneMark]) -> None:
        with self._lock, hot.writing(self._writer):
            store.append(self._writer, rows, marks, self._clock.now_ms())

    @override
    def keys(self) -> dict[int, SeriesKey]:
        return self._reader.keys()

    @override
    def latest(self, series: Sequence[int] | None = None) -> list[Latest]:
        return self._reader.latest(series)

    @override
    def marks(self) -> list[LaneMark]:
        return self._reader.marks()

    @override
    def raw(self, series: int, start: int, end: int, limit: int) -> list[Point]:
        return self._reader.raw(series, start, end, limit)

    @override
    def chart(self, series: int, start: int, end: int, buckets: int) -> list[Bucket]:
        return self._reader.chart(series, start, end, buckets)

    @override
    def close(self) -> None:
        with self._lock:
            self._writer.close()
        self._reader.close()


def open_database(path: Path) -> hot.Connection:
    """Open `series.db` of a store for writing, making folder and tables when they are missing.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    (path / SEGMENTS).mkdir(parents=True, exist_ok=True)
    connection = hot.open_writer(path / DATABASE)
    with hot.writing(connection):
        store.create(connection)
    return connection


def retention_of(metric: str) -> str:
    """Tell the retention class of a metric; one that the table does not know is kept as a process value."""
    known = METRICS.get(metric)
    return (known.retention if known else Retention.PROCESS).value
