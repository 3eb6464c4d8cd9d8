"""The nouns of the time series store and the port that every store fulfils."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ROLL_UP_FROM_MS: Final = 7 * DAY_MS
"""Charts longer than this, with buckets of an hour or more, are read from the hourly roll-up."""

Row = tuple[int, int, float | None, int]
"""(measured_at in Unix ms, series id, value in the metric's unit or None for a sensor fault, `contract` Quality).

A value is finite or None.
"""


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """One metric of one device; `metric` is a name of `contract.metrics`."""

    device: str
    metric: str


@dataclass(frozen=True, slots=True)
class LaneMark:
    """Everything of this lane up to and including `seq` is stored; `epoch` is the spool's birth in Unix ms."""

    edge: str
    epoch: int
    lane: str
    seq: int


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest reading of a series by `measured_at`; both times in Unix ms, `received_at` by our own clock."""

    series: int
    measured_at: int
    received_at: int
    value: float | None
    quality: int


@dataclass(frozen=True, slots=True)
class Point:
    """One stored reading; `measured_at` in Unix ms."""

    measured_at: int
    value: float | None
    quality: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the values from `start` (Unix ms) for one bucket width amount to; `n` counts values, never faults.

    `low` and `high` are kept beside the mean so that a spike of one reading survives any zoom.
    """

    start: int
    n: int
    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class Part:
    """An unfinished bucket: the sums that buckets of two sources are added by."""

    start: int
    n: int
    low: float
    high: float
    sum: float


@dataclass(frozen=True, slots=True)
class Grid:
    """Where buckets lie: multiples of `width_ms` since the Unix epoch, cut to [start, end)."""

    start: int
    end: int
    width_ms: int

    @property
    def may_use_roll_up(self) -> bool:
        """Tell whether whole hours fit whole buckets and the range is long enough to pay."""
        return self.end - self.start > ROLL_UP_FROM_MS and self.width_ms % HOUR_MS == 0

    def bucket_of(self, at: int) -> int:
        """Give the start of the bucket that holds the moment `at`, both Unix ms."""
        return at - at % self.width_ms


def grid(start: int, end: int, buckets: int) -> Grid:
    """Lay at most `buckets` (+1 cut at an edge) buckets over [start, end), Unix ms.

    Widths of an hour or more over long ranges are rounded up to whole hours, so that roll-ups fit.

    Raises:
        ValueError: the range is empty or `buckets` is not positive.
    """
    if end <= start or buckets < 1:
        raise ValueError(f"no buckets fit [{start}, {end}) / {buckets}")
    width = -(-(end - start) // buckets)
    if end - start > ROLL_UP_FROM_MS and width >= HOUR_MS:
        width = -(-width // HOUR_MS) * HOUR_MS
    return Grid(start, end, width)


def add_up(parts: Iterable[Part]) -> list[Bucket]:
    """Add parts of equal start into buckets, oldest first; parts without values vanish."""
    sums: dict[int, Part] = {}
    for part in parts:
        if not part.n:
            continue
        known = sums.get(part.start)
        sums[part.start] = part if known is None else _added(known, part)
    return [
        Bucket(part.start, part.n, part.low, part.sum / part.n, part.high)
        for _, part in sorted(sums.items())
    ]


def _added(one: Part, other: Part) -> Part:
    return Part(
        one.start,
        one.n + other.n,
        min(one.low, other.low),
        max(one.high, other.high),
        one.sum + other.sum,
    )


def parts_of(points: Iterable[Point], lattice: Grid) -> Iterator[Part]:
    """Turn single readings into parts; those outside the grid or without a value are passed over."""
    for point in points:
        if point.value is not None and lattice.start <= point.measured_at < lattice.end:
            start = lattice.bucket_of(point.measured_at)
            yield Part(start, 1, point.value, point.value, point.value)


class SeriesReads(Protocol):
    """What may be asked of a store; also by a process that may not write."""

    def keys(self) -> dict[int, SeriesKey]:
        """Give all registered series by id."""
        ...

    def latest(self, series: Sequence[int] | None = None) -> list[Latest]:
        """Give the newest reading of each of these series (None: of all) that has one, by id."""
        ...

    def raw(self, series: int, start: int, end: int, limit: int) -> list[Point]:
        """Give the readings in [start, end) Unix ms, oldest first, at most `limit`, each key once."""
        ...

    def chart(self, series: int, start: int, end: int, buckets: int) -> list[Bucket]:
        """Give the non-empty buckets of `grid(start, end, buckets)`, oldest first.

        Raises:
            InvalidError: the range is empty or `buckets` is not positive.
        """
        ...

    def marks(self) -> list[LaneMark]:
        """Give the highest committed mark of every lane."""
        ...

    def close(self) -> None:
        """Release files and connections; the store may be opened again."""
        ...


class SeriesStore(SeriesReads, Protocol):
    """Where readings are kept.

    The laws, held over every implementation by one suite:

    - `append` is one transaction: rows and marks are all stored, or none, and durable when it returns.
    - A row stored twice is one row; (measured_at, series) is its key and the number written last wins.
      (Whether None erases a number already stored is left open; a redelivery never carries it.)
    - The order in which rows come changes no answer, late rows included, and neither does a restart.
    - `latest` and marks never go back.
    """

    def register(self, keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
        """Give the ids of these series, making those that are new; an id is never reused."""
        ...

    def append(self, rows: Sequence[Row], marks: Sequence[LaneMark]) -> None:
        """Store rows and marks in one transaction, durable when it returns.

        Raises:
            UnavailableError: nothing was stored (disk full, another writer in the way); try again, do not acknowledge.
        """
        ...
