"""Reading: one view of hot rows, roll-up and segment list from SQLite, then the files that the view names.

A view is one read transaction, and a hot table is emptied in the transaction that lists its segments, so no reading is
missed or doubled whatever the compactor does. Files stay for a while after the list forgets them; a reader slower than
that takes a new view.
"""

import queue
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from typing_extensions import override

from cloud.errors import InvalidError, UnavailableError
from cloud.kit import hot
from cloud.kit.duck import Duck, SegmentGoneError
from cloud.series import segment_store, store
from cloud.series.engine import Segment
from cloud.series.model import (
    HOUR_MS,
    Bucket,
    Grid,
    LaneMark,
    Latest,
    Part,
    Point,
    SeriesKey,
    SeriesReads,
    add_up,
    grid,
    parts_of,
)

DATABASE: Final = "series.db"
SEGMENTS: Final = "segments"
_ATTEMPTS: Final = 3
_WAIT_S: Final = 30.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _View:
    """What one transaction saw of a series; `hours` None: nothing was rolled up, all is raw."""

    hot: dict[int, Point]
    rolled: list[Part]
    hours: list[int] | None
    segments: list[Segment]


class SeriesReader(SeriesReads):
    """Answers questions; may live in any process, any number of them, and from any thread.

    Args:
        path: the folder of the store.
        threads: DuckDB's workers.
        memory_mb: DuckDB's limit.
        at_once: questions answered at the same time; more wait.
    """

    def __init__(
        self, path: Path, *, threads: int = 2, memory_mb: int = 256, at_once: int = 4
    ) -> None:
        self._segments = path / SEGMENTS
        self._duck = Duck(threads=threads, memory_mb=memory_mb, cursors=at_once)
        self._free: queue.LifoQueue[hot.Connection] = queue.LifoQueue()
        for _ in range(at_once):
            self._free.put(hot.open_reader(path / DATABASE))

    @contextmanager
    def _connection(self) -> Iterator[hot.Connection]:
        try:
            connection = self._free.get(timeout=_WAIT_S)
        except queue.Empty as error:
            raise UnavailableError("all series queries are busy", "try again") from error
        try:
            yield connection
        finally:
            self._free.put(connection)

    @override
    def keys(self) -> dict[int, SeriesKey]:
        with self._connection() as connection:
            return store.keys(connection)

    @override
    def latest(self, series: Sequence[int] | None = None) -> list[Latest]:
        with self._connection() as connection, hot.reading(connection):
            return store.latest(connection, series)

    @override
    def marks(self) -> list[LaneMark]:
        with self._connection() as connection:
            return store.marks(connection)

    @override
    def raw(self, series: int, start: int, end: int, limit: int) -> list[Point]:
        return _again(lambda: self._raw(series, start, end, limit))

    @override
    def chart(self, series: int, start: int, end: int, buckets: int) -> list[Bucket]:
        try:
            lattice = grid(start, end, buckets)
        except ValueError as error:
            raise InvalidError(str(error)) from error
        return _again(lambda: self._chart(series, lattice))

    def _raw(self, series: int, start: int, end: int, limit: int) -> list[Point]:
        with self._connection() as connection, hot.reading(connection):
            newer = store.hot_points(connection, series, start, end)
            segments = store.segments(connection, start, end)
        # Hot readings can only replace or precede, so the first `limit` of the files are enough.
        stored = segment_store.points(self._duck, self._paths(segments), series, start, end, limit)
        if not newer:
            return stored
        found = {point.measured_at: point for point in stored} | newer
        return [found[at] for at in sorted(found)][:limit]

    def _chart(self, series: int, lattice: Grid) -> list[Bucket]:
        with self._connection() as connection, hot.reading(connection):
            view = _look(connection, series, lattice)
        stored = segment_store.parts(
            self._duck,
            self._paths(view.segments),
            series,
            lattice,
            hours=view.hours,
            skip=list(view.hot),
        )
        return add_up([*view.rolled, *stored, *parts_of(view.hot.values(), lattice)])

    def _paths(self, segments: Sequence[Segment]) -> list[Path]:
        return [self._segments / segment.name for segment in segments]

    @override
    def close(self) -> None:
        """Close connections; questions still running fail."""
        while not self._free.empty():
            self._free.get_nowait().close()
        self._duck.close()


def _look(connection: hot.Connection, series: int, lattice: Grid) -> _View:
    newer = store.hot_points(connection, series, lattice.start, lattice.end)
    segments = store.segments(connection, lattice.start, lattice.end)
    first = -(-lattice.start // HOUR_MS)
    until = min(store.rolled_until(connection), lattice.end // HOUR_MS)
    if not lattice.may_use_roll_up or until <= first:
        return _View(newer, [], None, segments)
    # An hour with a reading that its roll-up does not know yet is read raw.
    stale = {at // HOUR_MS for at in newer} | set(store.dirty(connection, first, until - 1))
    rolled = [
        replace(part, start=lattice.bucket_of(part.start))
        for hour, part in store.rolls(connection, series, first, until)
        if hour not in stale
    ]
    last = max((segment.t1 for segment in segments), default=0) // HOUR_MS
    hours = sorted(
        {hour for hour in stale if first <= hour < until}
        | {lattice.start // HOUR_MS} - {first}
        | set(range(until, last + 1))
    )
    return _View(newer, rolled, hours, [s for s in segments if _holds_one_of(s, hours)])


def _holds_one_of(segment: Segment, hours: Sequence[int]) -> bool:
    at = bisect_left(hours, segment.t0 // HOUR_MS)
    return at < len(hours) and hours[at] <= segment.t1 // HOUR_MS


def _again(ask: Callable[[], _T]) -> _T:
    for _ in range(_ATTEMPTS - 1):
        try:
            return ask()
        except SegmentGoneError:
            continue
    return ask()
