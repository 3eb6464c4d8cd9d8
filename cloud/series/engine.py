"""Decisions of the compactor, pure: which segments to merge, which to thin, which hours to roll up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby
from typing import Final

from cloud.series.model import DAY_MS

FRESH: Final = 0
WHOLE_DAY: Final = 100


@dataclass(frozen=True, slots=True)
class Segment:
    """One Parquet file of readings of one UTC day, sorted by (series, ts).

    Attributes:
        name: path below the segments folder; within a day, file names sort as generations do.
        day: days since the Unix epoch.
        gen: generation of the hot table it came from; of two rows with one key the higher one counts.
        level: 0 fresh from hot, n + 1 merged of several n, 100 the whole day.
        t0: first reading, Unix ms.
        t1: last reading, Unix ms.
        rows: readings.
        bytes: size on disk.
        made_at: Unix ms.
        lacks: retention classes already taken out, joined by commas.
    """

    name: str
    day: int
    gen: int
    level: int
    t0: int
    t1: int
    rows: int
    bytes: int
    made_at: int
    lacks: str

    def fields(self) -> tuple[str | int, ...]:
        """Give the columns in their order."""
        return astuple(self)

    @property
    def missing(self) -> frozenset[str]:
        """Tell the retention classes that were taken out."""
        return frozenset(self.lacks.split(",")) if self.lacks else frozenset()


@dataclass(frozen=True, slots=True)
class MergeRule:
    """When segments of a day are joined.

    Attributes:
        fan_in: files of one level that make a merge worth its writing.
        settle_ms: a past day is made whole when nothing came for so long.
        again_ms: a day that is whole already is rewritten for late rows at most this often.
        rows_limit: larger files are left alone.
    """

    fan_in: int = 8
    settle_ms: int = 600_000
    again_ms: int = 20 * 3_600_000
    rows_limit: int = 100_000_000


@dataclass(frozen=True, slots=True)
class Merge:
    """Join these neighbouring generations of one day into a file of this level."""

    segments: tuple[Segment, ...]
    level: int


def plan_merges(segments: Sequence[Segment], now_ms: int, rule: MergeRule) -> list[Merge]:
    """Choose at most one merge per day, oldest day first; only neighbouring generations may be joined."""
    plans = []
    ordered = sorted(segments, key=lambda segment: (segment.day, segment.gen, segment.name))
    for day, group in groupby(ordered, key=lambda segment: segment.day):
        files = _behind_large(list(group), rule)
        plan = _whole_day(day, files, now_ms, rule) or _tier(files, rule)
        if plan is not None:
            plans.append(plan)
    return plans


def _behind_large(files: list[Segment], rule: MergeRule) -> list[Segment]:
    large = [at for at, segment in enumerate(files) if segment.rows >= rule.rows_limit]
    return files[large[-1] + 1 :] if large else files


def _whole_day(day: int, files: list[Segment], now_ms: int, rule: MergeRule) -> Merge | None:
    is_over = now_ms >= (day + 1) * DAY_MS + rule.settle_ms
    if len(files) < 2 or not is_over or now_ms - max(f.made_at for f in files) < rule.settle_ms:
        return None
    whole = [segment.made_at for segment in files if segment.level == WHOLE_DAY]
    if whole and now_ms - max(whole) < rule.again_ms:
        return None
    if sum(segment.rows for segment in files) > rule.rows_limit:
        return None
    return Merge(tuple(files), WHOLE_DAY)


def _tier(files: list[Segment], rule: MergeRule) -> Merge | None:
    for level in sorted({segment.level for segment in files} - {WHOLE_DAY}):
        # Levels fall as generations rise, so the files of one level are neighbours.
        same = [segment for segment in files if segment.level == level]
        chosen = tuple(_within(same, rule.rows_limit))
        if len(same) >= rule.fan_in and len(chosen) > 1:
            return Merge(chosen, level + 1)
    return None


def _within(files: Sequence[Segment], rows_limit: int) -> Iterator[Segment]:
    total = 0
    for segment in files:
        total += segment.rows
        if total > rows_limit:
            return
        yield segment


@dataclass(frozen=True, slots=True)
class Thinning:
    """Take these retention classes out of a segment; all of them: remove it."""

    segment: Segment
    classes: frozenset[str]
    removes_all: bool


def plan_thinning(
    segments: Sequence[Segment], now_ms: int, days: Mapping[str, int]
) -> list[Thinning]:
    """Choose the segments that hold readings past their time.

    Args:
        segments: all of them.
        now_ms: Unix ms.
        days: whole days to keep, by retention class.
    """
    plans = []
    for segment in segments:
        age = now_ms // DAY_MS - segment.day
        due = frozenset(name for name, keep in days.items() if age > keep)
        if due == frozenset(days):
            plans.append(Thinning(segment, due, removes_all=True))
        elif due - segment.missing:
            plans.append(Thinning(segment, due | segment.missing, removes_all=False))
    return plans
