"""One thread per database file: whatever waits is written together, in one transaction."""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar

from edge.disk_reserve import is_full
from edge.errors import SpoolFullError

GROUP_LIMIT: Final = 256
ROOM_TRIES: Final = 4
_T = TypeVar("_T")


class Store(Protocol):
    """What the writer needs of a file."""

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def commit(self) -> None:
        """Make it durable."""
        ...

    def rollback(self) -> None:
        """Undo it, in the file and in memory."""
        ...

    def make_room(self) -> bool:
        """Find space by growing or dropping; False when there is none to be had."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class _Job:
    """One piece of work and who waits for it."""

    __slots__ = ("future", "is_urgent", "work")

    def __init__(self, work: Callable[[], Any], *, is_urgent: bool) -> None:
        self.work = work
        self.is_urgent = is_urgent
        self.future: Future[Any] = Future()


class Writer:
    """Runs jobs on one store in one thread; each caller waits, so the queue is as long as there are callers."""

    def __init__(self, store: Store, *, name: str, gather_s: float = 0.0) -> None:
        """Start the thread; `gather_s` is how long a job that is not urgent waits for company."""
        self._store = store
        self._gather_s = gather_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[], _T], *, is_urgent: bool = True) -> _T:
        """Run `work` in the thread; when this returns its effect is committed.

        Raises:
            SpoolFullError: there is no space and none can be made.
        """
        job = _Job(work, is_urgent=is_urgent)
        self._jobs.put(job)
        result: _T = await asyncio.wrap_future(job.future)
        return result

    def close(self) -> None:
        """Finish what waits, then close the store."""
        self._jobs.put(None)
        self._thread.join()
        self._store.close()

    def _run(self) -> None:
        is_open = True
        while is_open:
            job = self._jobs.get()
            if job is None:
                return
            group, is_open = self._gather(job)
            self._settle([job for job in group if job.future.set_running_or_notify_cancel()])

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        """Take what waits; a job that is not urgent waits for company until an urgent one comes."""
        group = [first]
        until = 0.0 if first.is_urgent else time.monotonic() + self._gather_s
        while len(group) < GROUP_LIMIT:
            pause = until - time.monotonic()
            try:
                following = self._jobs.get(block=pause > 0, timeout=max(pause, 0.0))
            except queue.Empty:
                break
            if following is None:
                return group, False
            group.append(following)
            if following.is_urgent:
                until = 0.0
        return group, True

    def _settle(self, group: list[_Job]) -> None:
        for _ in range(ROOM_TRIES):
            try:
                results = self._write(group)
            except sqlite3.Error as error:
                if not is_full(error):
                    self._fail(group, error)
                    return
                if not self._make_room():
                    break
            except Exception as error:  # noqa: BLE001 - top of the thread: the waiting callers get it
                self._fail(group, error)
                return
            else:
                for job, result in zip(group, results, strict=True):
                    job.future.set_result(result)
                return
        if len(group) > 1:
            for job in group:
                self._settle([job])
        else:
            self._fail(group, SpoolFullError("the disk takes no more and nothing can be dropped"))

    def _make_room(self) -> bool:
        try:
            return self._store.make_room()
        except sqlite3.Error:
            self._store.rollback()
            return False

    def _write(self, group: list[_Job]) -> list[object]:
        try:
            self._store.begin()
            results = [job.work() for job in group]
            self._store.commit()
        except BaseException:
            self._store.rollback()
            raise
        return results

    @staticmethod
    def _fail(group: list[_Job], error: Exception) -> None:
        for job in group:
            job.future.set_exception(error)
