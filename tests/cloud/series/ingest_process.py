"""A child process for the kill tests: appends numbered rows, or compacts greedily, until it is killed."""

import sys
import threading
from pathlib import Path

from cloud.kit.clock import SystemClock
from cloud.series.compaction import CompactionSettings, run_compaction
from cloud.series.engine import MergeRule
from cloud.series.local import LocalSeries
from cloud.series.model import HOUR_MS, LaneMark, Row

SERIES = 20
ROWS = 100


def rows_of(number: int, base: int) -> list[Row]:
    """Give the rows of batch `number`: they spread over ten days and every fiftieth comes late."""
    return [
        (base + (number * ROWS + n) * 809 - (9 * 24 * HOUR_MS if n % 50 == 0 else 0), 1 + n % SERIES, n / 8, 0)
        for n in range(ROWS)
    ]  # fmt: skip


def append_forever(path: Path, base: int, first: int) -> None:
    """Say each batch number on stdout once it is stored."""
    store = LocalSeries(path, SystemClock())
    number = first
    while True:
        store.append(rows_of(number, base), [LaneMark("e-1", 1, "data", number)])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


def compact_forever(path: Path) -> None:
    """Close, merge and roll up far more often than anyone would."""
    settings = CompactionSettings(
        close_rows=500,
        close_apart_ms=0,
        piece_rows=100_000,
        roll_every_ms=200,
        grace_ms=60_000,
        merge=MergeRule(fan_in=3, settle_ms=300, again_ms=500),
    )
    run_compaction(path, settings, SystemClock(), threading.Event())


if __name__ == "__main__":
    if sys.argv[1] == "append":
        append_forever(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        compact_forever(Path(sys.argv[2]))
