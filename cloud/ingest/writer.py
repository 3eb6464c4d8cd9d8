"""The series store on a thread of its own: no alarm ever waits behind a commit of readings.

One batch is under way at a time; it is tried until it is stored, because what is in it was received and
will not be asked for again in this process. While it does not succeed nothing is acknowledged, the next
batch fills up to its limit, and then no more readings are taken in.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from cloud.kit.clock import Clock
from cloud.series.model import LaneMark, Row, SeriesKey, SeriesStore

RETRY_S: Final = (0.2, 5.0)
_T = TypeVar("_T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """The store is there: what it knows already; `newest` is when a series' newest value was measured."""

    keys: Mapping[int, SeriesKey]
    newest: Mapping[int, int]
    marks: Sequence[LaneMark]


@dataclass(frozen=True, slots=True)
class Registered:
    """The ids of the series that `token` asked for."""

    token: object
    ids: Mapping[SeriesKey, int]


@dataclass(frozen=True, slots=True)
class Committed:
    """Rows and marks are durable."""

    marks: Sequence[LaneMark]
    rows: int


Result = Opened | Registered | Committed
_Job = Callable[[SeriesStore], Result]


class SeriesWriter:
    """Does what it is told, in order, until it succeeds; `wake` is called after each result."""

    def __init__(
        self, open_store: Callable[[], SeriesStore], *, wake: Callable[[], None], clock: Clock
    ) -> None:
        self._open_store = open_store
        self._wake = wake
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: deque[Result] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="series-writer", daemon=True)
        self._commits_waiting = 0
        self._commits_done = 0
        self.problem = ""
        self.commit_s = 0.0

    def start(self) -> None:
        """Open the store in the background; the first result is `Opened`."""
        self._thread.start()

    def register(self, token: object, keys: Sequence[SeriesKey]) -> None:
        """Ask for ids; answered by `Registered` with this token."""
        self._jobs.put(lambda store: Registered(token, store.register(keys)))

    def append(self, rows: Sequence[Row], marks: Sequence[LaneMark]) -> None:
        """Ask for one commit; answered by `Committed`."""
        self._commits_waiting += 1
        self._jobs.put(lambda store: self._commit(store, rows, marks))

    def _commit(
        self, store: SeriesStore, rows: Sequence[Row], marks: Sequence[LaneMark]
    ) -> Committed:
        began = self._clock.monotonic_s()
        store.append(rows, marks)
        self.commit_s = self._clock.monotonic_s() - began
        return Committed(marks, len(rows))

    @property
    def is_idle(self) -> bool:
        """Whether no commit is under way."""
        return self._commits_waiting == self._commits_done

    def take_results(self) -> list[Result]:
        """Give what was done since the last call."""
        results = [self._results.popleft() for _ in range(len(self._results))]
        self._commits_done += sum(isinstance(result, Committed) for result in results)
        return results

    def stop(self, timeout_s: float) -> bool:
        """Finish what is asked for, unless it does not succeed at once; tells whether all was done."""
        self._stopping.set()
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self.problem

    def _run(self) -> None:
        store = self._until_done(self._open_store)
        if store is None:
            return
        job: _Job | None = _look
        while job is not None:
            todo = job
            result = self._until_done(lambda todo=todo: todo(store))  # type: ignore[misc]  # bound now on purpose
            if result is None:
                break
            self._results.append(result)
            self._wake()
            job = self._jobs.get()
        store.close()

    def _until_done(self, attempt: Callable[[], _T]) -> _T | None:
        pause = RETRY_S[0]
        while True:
            try:
                done = attempt()
            except Exception as error:  # noqa: BLE001 - top of a supervised thread: nothing may end it
                self._tell(error)
                if self._stopping.wait(pause):
                    return None
                pause = min(pause * 2, RETRY_S[1])
            else:
                if self.problem:
                    self.problem = ""
                    _log.info("series store works again")
                return done

    def _tell(self, error: Exception) -> None:
        if not self.problem:
            _log.error("series store fails, retrying", exc_info=error)
        self.problem = f"series: {error}"[:200]


def _look(store: SeriesStore) -> Opened:
    newest = {latest.series: latest.measured_at for latest in store.latest()}
    return Opened(store.keys(), newest, store.marks())
