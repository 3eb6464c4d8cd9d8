"""The door to DuckDB: bounded in threads and memory, nothing downloaded, connections reused."""

import queue
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from cloud.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = int | float | str | None | Sequence[int] | Sequence[float | None] | Sequence[str]
_WAIT_S: Final = 30.0


class SegmentGoneError(UnavailableError):
    """A file that the manifest named was removed meanwhile: take a new view and ask again."""


class Duck:
    """A small pool of connections to one in-memory DuckDB.

    Args:
        threads: workers that all queries share.
        memory_mb: limit of the whole instance; sorts beyond it spill.
        spill: folder for what does not fit, made when needed.
        cursors: queries that may run at once; more wait.
    """

    def __init__(
        self, *, threads: int, memory_mb: int, spill: Path | None = None, cursors: int = 4
    ) -> None:
        config: dict[str, Any] = {
            "threads": threads,
            "memory_limit": f"{memory_mb}MB",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(spill) if spill else "",
            "preserve_insertion_order": "true",
        }
        self._main = duckdb.connect(":memory:", config=config)
        self._free: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(cursors):
            self._free.put(self._main.cursor())

    @contextmanager
    def _cursor(self) -> "Iterator[Any]":
        try:
            cursor = self._free.get(timeout=_WAIT_S)
        except queue.Empty as error:
            raise UnavailableError("all series queries are busy", "try again") from error
        try:
            yield cursor
        except duckdb.IOException as error:
            raise SegmentGoneError(f"series segment: {error}") from error
        except duckdb.OutOfMemoryException as error:
            raise UnavailableError(f"series query: {error}", "ask for a shorter range") from error
        finally:
            self._free.put(cursor)

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and give all its rows.

        Raises:
            SegmentGoneError: a file cannot be opened.
            UnavailableError: no connection came free in 30 s.
        """
        with self._cursor() as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(sql, list(values)).fetchall()
            return found

    def fill(self, table: str, batches: Iterable[Sequence[Sequence[Value]]]) -> int:
        """Append batches of rows to a table by the Appender; tell how many rows went in."""
        count = 0
        with self._cursor() as cursor:
            appender = cursor.appender(table)
            for batch in batches:
                appender.append_rows(batch)
                count += len(batch)
            appender.flush()
        return count

    def close(self) -> None:
        """Close everything; queries still running fail."""
        while not self._free.empty():
            self._free.get_nowait().close()
        self._main.close()
