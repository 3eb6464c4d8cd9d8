"""An ingest worker as a process of its own, with the remembering keeper, or `real`: `… FOLDER [real]`."""

import signal
import sys
from pathlib import Path

from cloud.kit.clock import SystemClock
from cloud.series.local import LocalSeries
from cloud.settings import load
from cloud.worker import build, run
from tests.cloud.ingest.keeping import RememberingKeeper


def main() -> int:
    folder = Path(sys.argv[1])
    settings = load(folder / "cloud.yaml")
    if "real" in sys.argv:
        return run(settings)
    clock = SystemClock()
    worker = build(
        settings,
        open_series=lambda: LocalSeries(folder / "series", clock),
        open_keeper=lambda _database, _directory: RememberingKeeper(),
        clock=clock,
        compaction=None,
    )
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.stop.set())
    return worker.run()


if __name__ == "__main__":
    sys.exit(main())
