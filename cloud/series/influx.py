"""InfluxDB 2 behind the same port: every reading is durable here first, then forwarded, then let go.

Hot tables are the buffer: an outage keeps rows in them for as long as the disk lasts. A row leaves only after the
server acknowledged it, so reading hot rows first and the server second misses none; written twice it is one point.
"""

import threading
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import structlog
from typing_extensions import override

from cloud.errors import InvalidError, NotFoundError, UnavailableError
from cloud.kit import hot
from cloud.kit.clock import Clock
from cloud.kit.influx import Influx, InfluxBusyError, LinesRefusedError
from cloud.series import codec, store
from cloud.series.local import LocalSeries, open_database
from cloud.series.model import (
    Bucket,
    Grid,
    LaneMark,
    Latest,
    Part,
    Point,
    Row,
    SeriesKey,
    SeriesReads,
    SeriesStore,
    add_up,
    grid,
    parts_of,
)
from cloud.series.reader import SeriesReader

log = structlog.get_logger(__name__)
LINES_AT_ONCE: Final = 5_000
_POINTS_LIMIT: Final = 1_000_000
_PAUSE_S: Final = 1.0
_BACK_OFF_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class InfluxReader(SeriesReads):
    """Answers from the server, with what still waits here laid over it; for any process.

    Args:
        path: folder of the rows that wait.
        url: address of InfluxDB.
        org: organisation.
        bucket: bucket.
        token: API token.
    """

    def __init__(self, path: Path, url: str, org: str, bucket: str, token: str) -> None:
        self._local = SeriesReader(path, threads=1, memory_mb=64)
        self._influx = Influx(url, org, bucket, token)
        self._keys: dict[int, SeriesKey] = {}

    @override
    def keys(self) -> dict[int, SeriesKey]:
        return self._local.keys()

    @override
    def latest(self, series: Sequence[int] | None = None) -> list[Latest]:
        return self._local.latest(series)

    @override
    def marks(self) -> list[LaneMark]:
        return self._local.marks()

    @override
    def raw(self, series: int, start: int, end: int, limit: int) -> list[Point]:
        newer = self._local.raw(series, start, end, _POINTS_LIMIT)
        return self._merged(series, newer, start, end, limit)

    @override
    def chart(self, series: int, start: int, end: int, buckets: int) -> list[Bucket]:
        try:
            lattice = grid(start, end, buckets)
        except ValueError as error:
            raise InvalidError(str(error)) from error
        newer = self._local.raw(series, start, end, _POINTS_LIMIT)
        # A bucket that hot rows fall into is made of single readings: one of them may already be at the server.
        touched = sorted({lattice.bucket_of(point.measured_at) for point in newer})
        parts = [p for p in self._parts(series, lattice) if p.start not in set(touched)]
        for low, high in _runs(touched, lattice.width_ms):
            low, high = max(low, start), min(high, end)  # noqa: PLW2901 - cut to the range
            here = [point for point in newer if low <= point.measured_at < high]
            points = self._merged(series, here, low, high, _POINTS_LIMIT)
            parts.extend(parts_of(points, lattice))
        return add_up(parts)

    def _merged(
        self, series: int, newer: Iterable[Point], start: int, end: int, limit: int
    ) -> list[Point]:
        found = {point.measured_at: point for point in self._points(series, start, end, limit)}
        found |= {point.measured_at: point for point in newer}
        return [found[at] for at in sorted(found)][:limit]

    def _points(self, series: int, start: int, end: int, limit: int) -> list[Point]:
        key = self._key(series)
        if key is None or end <= start:
            return []
        rows = self._influx.query(codec.raw_flux(self._influx.bucket, key, start, end, limit))
        return [
            Point(
                codec.moment_ms(row["_time"]),
                float(row["v"]) if row.get("v") else None,
                int(float(row["q"])),
            )
            for row in rows
        ]

    def _parts(self, series: int, lattice: Grid) -> list[Part]:
        key = self._key(series)
        if key is None:
            return []
        answers: dict[int, dict[str, float]] = {}
        for row in self._influx.query(codec.chart_flux(self._influx.bucket, key, lattice)):
            start = lattice.bucket_of(codec.moment_ms(row["_time"]))
            answers.setdefault(start, {})[row["result"]] = float(row["_value"])
        return [
            Part(start, int(a["count"]), a["min"], a["max"], a["mean"] * a["count"])
            for start, a in answers.items()
        ]

    def _key(self, series: int) -> SeriesKey | None:
        if series not in self._keys:
            self._keys = self._local.keys()
        return self._keys.get(series)

    @override
    def close(self) -> None:
        """Close connections."""
        self._influx.close()
        self._local.close()


def _runs(starts: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Join neighbouring buckets into [from, to) stretches."""
    runs: list[tuple[int, int]] = []
    for _, group in groupby(enumerate(starts), key=lambda pair: pair[1] - pair[0] * width):
        some = [start for _, start in group]
        runs.append((some[0], some[-1] + width))
    return runs


class InfluxSeries(SeriesStore):
    """Writes here, durable at once; reads as `InfluxReader`. `Forwarder` runs beside it.

    Args:
        path: folder of the rows that wait.
        clock: tells when readings were received.
        url: address of InfluxDB.
        org: organisation.
        bucket: bucket.
        token: API token.
    """

    def __init__(
        self, path: Path, clock: Clock, url: str, org: str, bucket: str, token: str
    ) -> None:
        self._local = LocalSeries(path, clock)
        self._reader = InfluxReader(path, url, org, bucket, token)

    @override
    def register(self, keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
        for key in keys:
            try:
                codec.head(key)
            except ValueError as error:
                raise InvalidError(str(error)) from error
        return self._local.register(keys)

    @override
    def append(self, rows: Sequence[Row], marks: Sequence[LaneMark]) -> None:
        self._local.append(rows, marks)

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
        self._reader.close()
        self._local.close()


class Forwarder:
    """Sends hot rows to the server and lets them go once acknowledged; one per folder.

    Args:
        path: folder of the rows that wait.
        clock: stamps what is put aside.
        influx: the server.
    """

    def __init__(self, path: Path, clock: Clock, influx: Influx) -> None:
        self._clock = clock
        self._influx = influx
        self._connection = open_database(path)
        self._heads: dict[int, str] = {}

    def step(self) -> bool:
        """Forward what waits; tell whether there was anything.

        Raises:
            InfluxBusyError: the server takes nothing now; all rows are kept, try again.
        """
        state = store.hot_state(self._connection)
        if not state.sealed:
            if not state.rows:
                return False
            with hot.writing(self._connection):
                store.seal(self._connection)
        last: tuple[int, int] | None = None
        while rows := store.sealed_rows(self._connection, last, LINES_AT_ONCE):
            self._send(rows)
            last = (rows[-1][0], rows[-1][1])
        with hot.writing(self._connection):
            store.empty_sealed(self._connection)
        hot.checkpoint(self._connection, restart_above_pages=8_192)
        return True

    def _send(self, rows: Sequence[Row]) -> None:
        lines = [codec.line(self._head(series), at, value, q) for at, series, value, q in rows]
        try:
            self._influx.write("\n".join(lines))
        except LinesRefusedError as error:
            if len(rows) > 1:
                # Good lines of a refused batch may be stored already; storing them again changes nothing.
                middle = len(rows) // 2
                self._send(rows[:middle])
                self._send(rows[middle:])
                return
            with hot.writing(self._connection):
                store.put_aside(self._connection, rows[0], str(error), self._clock.now_ms())
            log.error("InfluxDB refuses a reading", line=lines[0], error=str(error))  # noqa: TRY400 - one line says it all

    def _head(self, series: int) -> str:
        if series not in self._heads:
            keys = store.keys(self._connection)
            self._heads = {number: codec.head(key) for number, key in keys.items()}
        if series not in self._heads:
            raise NotFoundError(f"series {series} was never registered")
        return self._heads[series]

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def run_forwarding(
    path: Path,
    clock: Clock,
    stop: threading.Event,
    url: str,
    org: str,
    bucket: str,
    token: str,
) -> None:
    """Forward until told to stop; waits as long as the server asks, or 1 to 30 s."""
    influx = Influx(url, org, bucket, token)
    forwarder = Forwarder(path, clock, influx)
    failures = 0
    try:
        while not stop.is_set():
            try:
                pause = 0.0 if forwarder.step() else _PAUSE_S
                failures = 0
            except UnavailableError as error:
                if not failures:
                    log.warning("InfluxDB takes nothing, rows are kept here", error=str(error))
                asked = error.after_s if isinstance(error, InfluxBusyError) else None
                pause = asked or _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
                failures += 1
            stop.wait(pause)
    finally:
        forwarder.close()
        influx.close()
