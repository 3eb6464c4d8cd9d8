"""The compactor: closes hot rows into verified Parquet files, merges them, keeps roll-up, log and disk in order.

One process (or thread) per store, beside the writers and readers. Its write transactions are short: turning the hot
tables, listing a file, a slice of roll-ups. Killed at any moment it leaves a store that answers rightly, and its
successor goes on: a sealed table stays until its files are listed, a file that is not listed is removed at start.
"""

import fcntl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import structlog

from cloud.errors import ConflictError, UnavailableError
from cloud.kit import hot
from cloud.kit.clock import Clock
from cloud.kit.duck import Duck
from cloud.series import segment_store, store
from cloud.series.engine import (
    FRESH,
    Merge,
    MergeRule,
    Segment,
    Thinning,
    plan_merges,
    plan_thinning,
)
from cloud.series.local import open_database
from cloud.series.model import HOUR_MS, Row
from cloud.series.reader import SEGMENTS
from cloud.series.roll_up import RollUp
from contract.metrics import Retention

log = structlog.get_logger(__name__)
_FREE_PAGES_KEPT: Final = 16_384
_EPOCHS_KEPT: Final = 32
_FREE_PAGES_STEP: Final = 500
_TIDY_ROWS: Final = 50_000
_TIDY_MS: Final = 30_000
KEEP_DAYS: Final = MappingProxyType(
    {
        Retention.SAFETY.value: 1095,
        Retention.PROCESS.value: 365,
        Retention.HOUSEKEEPING.value: 90,
    }
)


@dataclass(frozen=True, slots=True)
class CompactionSettings:
    """How the compactor works; the defaults suit one community and hold at 200,000 readings a second.

    Attributes:
        close_rows: hot rows that make a segment; few, since reading one series looks at all of them.
        close_age_ms: hot rows older than this are closed however few they are.
        close_apart_ms: two closings lie at least so far apart, so that a flood makes few, larger files.
        piece_rows: rows sorted at once; bounds memory.
        lateness_ms: an hour is rolled up so long after its end; what comes later is merged in.
        grace_ms: how long a file outlives the list that named it.
        roll_every_ms: pause between roll-ups.
        thin_every_ms: pause between looks for readings past their time.
        keep_days: days that readings are kept, by retention class.
        memory_mb: limit of DuckDB; larger sorts spill to disk.
        merge: when files are joined.
    """

    close_rows: int = 100_000
    close_age_ms: int = HOUR_MS
    close_apart_ms: int = 5_000
    piece_rows: int = 2_000_000
    lateness_ms: int = 900_000
    grace_ms: int = 120_000
    roll_every_ms: int = 60_000
    thin_every_ms: int = HOUR_MS
    keep_days: Mapping[str, int] = field(default_factory=lambda: KEEP_DAYS)
    memory_mb: int = 512
    merge: MergeRule = field(default_factory=MergeRule)


@dataclass(slots=True)
class CompactionCounts:
    """What a compactor did since it was made."""

    rows_closed: int = 0
    rows_merged: int = 0
    hours_rolled: int = 0
    files_removed: int = 0


def _pass(_place: str) -> None:
    """Do nothing at a place where a test may crash."""


class Compactor:
    """Does the work in rounds; holds the lock of the store while open.

    Args:
        path: the store's folder.
        settings: see there.
        clock: tells ages.
        reached: called with the name of each place where a crash would be most awkward; for tests.

    Raises:
        ConflictError: another compactor works on this store.
    """

    def __init__(
        self,
        path: Path,
        settings: CompactionSettings,
        clock: Clock,
        *,
        reached: Callable[[str], None] = _pass,
    ) -> None:
        self.counts = CompactionCounts()
        self._path = path
        self._folder = path / SEGMENTS
        self._settings = settings
        self._clock = clock
        self._reached = reached
        self._connection = open_database(path)
        self._lock = (path / "compaction.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._connection.close()
            raise ConflictError(f"another compactor works on {path}", "stop one") from error
        # One thread: half a core is what compaction may take beside ingest, and files keep their order.
        self._duck = Duck(threads=1, memory_mb=settings.memory_mb, spill=path / "spill", cursors=1)
        self._roll_up = RollUp(self._connection, self._duck, self._folder, reached)
        self._thinned_at = self._rolled_at = 0
        self._tidied = (0, 0, 0)
        self._sweep()

    def close(self) -> None:
        """Stop working; the lock falls."""
        self._duck.close()
        self._connection.close()
        self._lock.close()

    def step(self) -> bool:
        """Do what is due once: close, merge, roll up, thin, remove, tidy.

        Returns:
            Whether there may be more to do at once.
        """
        now = self._clock.now_ms()
        worked = self.close_hot(now)
        self._tidy_when_due(now)
        worked = self.merge_one(now) or worked
        if now - self._rolled_at >= self._settings.roll_every_ms:
            more = self._roll(now)
            self._rolled_at = self._rolled_at if more else now
            worked = worked or more
        if now - self._thinned_at >= self._settings.thin_every_ms:
            self.thin(now)
            self._thinned_at = now
        self._remove_trash(now)
        return worked

    # --- closing ------------------------------------------------------------------------------------------------------

    def close_hot(self, now: int, *, even_if_few: bool = False) -> bool:
        """Write the sealed table to files, sealing first when that is due; tell whether rows were closed."""
        state = store.hot_state(self._connection)
        if not state.sealed:
            age = now - state.since
            is_due = (
                state.rows >= self._settings.close_rows and age >= self._settings.close_apart_ms
            ) or age >= self._settings.close_age_ms
            if not state.rows or not (is_due or even_if_few):
                return False
            with hot.writing(self._connection):
                store.seal(self._connection)
            self._reached("sealed")
        self._close_sealed(now)
        return True

    def _close_sealed(self, now: int) -> None:
        gen = store.hot_state(self._connection).gen - 1
        written: list[Segment] = []
        hours: set[int] = set()
        rows = self._sealed_rows()
        while segment_store.load(self._duck, _take(rows, self._settings.piece_rows)):
            hours.update(segment_store.hours_loaded(self._duck))
            for day in segment_store.days_loaded(self._duck):
                name = self._free_name(day, gen, {segment.name for segment in written})
                held = segment_store.write_day(self._duck, day, self._folder / name)
                written.append(
                    Segment(name, day, gen, FRESH, held.t0, held.t1, held.rows, held.bytes, now, "")
                )
                self._reached("written")
        with hot.writing(self._connection):
            until = store.rolled_until(self._connection)
            store.replace_segments(self._connection, [], written, now)
            store.mark_dirty(self._connection, (hour for hour in hours if hour < until))
            store.empty_sealed(self._connection)
        self._reached("listed")
        self.counts.rows_closed += sum(segment.rows for segment in written)

    def _sealed_rows(self) -> Iterator[list[Row]]:
        # Short reads, each from where the last ended: one long read would keep the log from being reused.
        last: tuple[int, int] | None = None
        while rows := store.sealed_rows(self._connection, last, 50_000):
            last = (rows[-1][0], rows[-1][1])
            yield rows

    def _free_name(self, day: int, gen: int, taken: Iterable[str]) -> str:
        known = {segment.name for segment in store.segments(self._connection)}
        known |= store.all_trash(self._connection) | set(taken)
        serial = 0
        while (name := f"{day:06d}/{gen:012d}-{serial:04d}.parquet") in known:
            serial += 1
        return name

    # --- merging, roll-up, retention ----------------------------------------------------------------------------------

    def merge_one(self, now: int) -> bool:
        """Do the first merge that is due; tell whether one was."""
        plans = plan_merges(store.segments(self._connection), now, self._settings.merge)
        if not plans:
            return False
        self._merge(plans[0], now)
        return True

    def _merge(self, plan: Merge, now: int) -> None:
        lacks = frozenset.intersection(*(segment.missing for segment in plan.segments))
        self._rewrite(plan.segments, plan.level, lacks, (), now)
        self.counts.rows_merged += sum(segment.rows for segment in plan.segments)

    def _rewrite(
        self,
        old: tuple[Segment, ...],
        level: int,
        lacks: frozenset[str],
        without: Iterable[int],
        now: int,
    ) -> None:
        day, gen = old[-1].day, old[-1].gen
        name = self._free_name(day, gen, ())
        paths = [self._folder / segment.name for segment in old]
        held = segment_store.merge(self._duck, paths, self._folder / name, tuple(without))
        self._reached("merged")
        text = ",".join(sorted(lacks))
        new = Segment(name, day, gen, level, held.t0, held.t1, held.rows, held.bytes, now, text)
        with hot.writing(self._connection):
            store.replace_segments(self._connection, old, [new] if held.rows else [], now)
        self._reached("relisted")

    def _roll(self, now: int) -> bool:
        until = (now - self._settings.lateness_ms) // HOUR_MS
        oldest = now // HOUR_MS - 24 * min(self._settings.keep_days.values(), default=36_500)
        rolled = self._roll_up.step(until, oldest)
        self.counts.hours_rolled += rolled
        return rolled > 0

    def thin(self, now: int) -> None:
        """Take readings past their time out of the files; roll-ups stay."""
        plans = plan_thinning(store.segments(self._connection), now, self._settings.keep_days)
        for plan in plans:
            self._thin(plan, now)

    def _thin(self, plan: Thinning, now: int) -> None:
        log.info(
            "readings past their time removed", day=plan.segment.day, classes=sorted(plan.classes)
        )
        if plan.removes_all:
            with hot.writing(self._connection):
                store.replace_segments(self._connection, [plan.segment], [], now)
            return
        gone = store.of_classes(self._connection, sorted(plan.classes))
        self._rewrite((plan.segment,), plan.segment.level, plan.classes, gone, now)

    # --- order on disk ------------------------------------------------------------------------------------------------

    def _tidy_when_due(self, now: int) -> None:
        # The longer the log, the more often a page changed in it and is moved only once.
        state = store.hot_state(self._connection)
        gen, rows, at = self._tidied
        if state.gen != gen or state.rows - rows >= _TIDY_ROWS or now - at >= _TIDY_MS:
            self._tidied = (state.gen, state.rows, now)
            self.tidy()

    def tidy(self) -> None:
        """Move the log into the file and give long unused pages back, in small steps.

        Done here, so that a writer never has to stop for it.
        """
        hot.checkpoint(self._connection, restart_above_pages=8_192)
        (free,) = self._connection.execute("pragma freelist_count").fetchone()
        if free > _FREE_PAGES_KEPT:
            hot.give_back(self._connection, _FREE_PAGES_STEP)
        with hot.writing(self._connection):
            store.forget_marks(self._connection, _EPOCHS_KEPT)

    def _remove_trash(self, now: int) -> None:
        names = store.trash(self._connection, now - self._settings.grace_ms)
        if not names:
            return
        with removal_allowed(self._path) as is_allowed:
            if not is_allowed:
                return
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
                self._reached("unlinked")
        with hot.writing(self._connection):
            store.forget_trash(self._connection, names)
        self.counts.files_removed += len(names)

    def _sweep(self) -> None:
        """Remove what a killed predecessor left: files begun, or finished and never listed."""
        known = {segment.name for segment in store.segments(self._connection)}
        known |= store.all_trash(self._connection)
        for path in self._folder.glob("*/*"):
            if path.relative_to(self._folder).as_posix() not in known:
                log.info("unlisted segment removed", file=path.name)
                path.unlink()


def _take(batches: Iterator[list[Row]], rows: int) -> Iterator[list[Row]]:
    taken = 0
    while taken < rows and (batch := next(batches, None)):
        taken += len(batch)
        yield batch


@contextmanager
def removal_allowed(path: Path, *, holds: bool = False) -> Iterator[bool]:
    """Tell whether files may be removed now; with `holds`, keep anyone from removing any meanwhile (backup)."""
    with (path / "removal.lock").open("w") as lock:
        try:
            if holds:
                fcntl.flock(lock, fcntl.LOCK_SH)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def run_compaction(
    path: Path, settings: CompactionSettings, clock: Clock, stop: threading.Event
) -> None:
    """Work until told to stop; a round that fails for want of disk or a lock is tried again.

    Raises:
        ConflictError: another compactor works on this store.
    """
    compactor = Compactor(path, settings, clock)
    is_failing = False
    try:
        while not stop.is_set():
            try:
                worked = compactor.step()
                is_failing = False
            except (UnavailableError, segment_store.SegmentBrokenError, OSError) as error:
                worked = False
                if not is_failing:
                    log.warning("compaction failing, tried again each second", error=str(error))
                is_failing = True
            if not worked:
                stop.wait(1.0)
    finally:
        compactor.close()
