"""One worker a shard: the lease that keeps a second one waiting, and a late one from writing.

A worker that was killed is followed at once when its process is seen to be gone on this very host, else
after the lease's few seconds.
"""

import os
import socket
from typing import Final

import structlog

from cloud.errors import UnavailableError
from cloud.ingest import lease_store
from cloud.ingest.lease_store import LeaseRow
from cloud.kit.clock import Clock
from cloud.kit.sql import Connection, Database

LEASE_MS: Final = 8_000
MARGIN_S: Final = 1.0

_log = structlog.get_logger(__name__)


class LeaseLostError(UnavailableError):
    """Another worker owns our shards now: end, whatever is not committed will be sent again."""


class Lease:
    """The shards `first` to `last`, for one process."""

    def __init__(self, database: Database, clock: Clock, first: int, last: int) -> None:
        self._database = database
        self._clock = clock
        self.first = first
        self.last = last
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self.token = 0
        self._fresh_until_s = 0.0
        self._told = ""

    @property
    def size(self) -> int:
        """How many shards this is about."""
        return self.last - self.first + 1

    def try_acquire(self) -> bool:
        """Take the shards if nobody alive has one of them; says once whom it waits for."""
        now = self._clock.now_ms()
        with self._database.write() as connection:
            rows = lease_store.read(connection, self.first, self.last)
            holder = next((row for row in rows if self._is_held(row, now)), None)
            if holder is None:
                self.token = max((row.token for row in rows), default=0) + 1
                until = now + LEASE_MS
                lease_store.replace(
                    connection,
                    [
                        LeaseRow(shard, self.owner, until, self.token)
                        for shard in range(self.first, self.last + 1)
                    ],
                )
                self._renewed()
                return True
        if self._told != holder.owner:
            self._told = holder.owner
            _log.warning("waiting for shards", shard=holder.shard, owner=holder.owner)
        return False

    def _is_held(self, row: LeaseRow, now: int) -> bool:
        if row.until <= now or row.owner == self.owner:
            return False
        host, _, pid = row.owner.rpartition(":")
        return not (host == socket.gethostname() and pid.isdecimal() and _is_gone(int(pid)))

    def extend(self, connection: Connection) -> None:
        """Prolong within a transaction; raises LeaseLostError when a shard has another owner."""
        until = self._clock.now_ms() + LEASE_MS
        if lease_store.extend(connection, self.owner, self.token, until) != self.size:
            raise LeaseLostError("another worker took our shards", "run one worker for each shard")
        self._renewed()

    @property
    def is_fresh(self) -> bool:
        """Whether nobody can have taken the shards yet; readings are stored only then."""
        return self._clock.monotonic_s() < self._fresh_until_s

    def _renewed(self) -> None:
        self._fresh_until_s = self._clock.monotonic_s() + LEASE_MS / 1_000 - MARGIN_S

    def check(self, connection: Connection) -> None:
        """Fence a transaction: raises LeaseLostError when a shard has another owner."""
        if lease_store.count(connection, self.owner, self.token) != self.size:
            raise LeaseLostError("another worker took our shards", "run one worker for each shard")

    def release(self) -> None:
        """Give the shards back, so that a successor need not wait."""
        with self._database.write() as connection:
            lease_store.extend(connection, self.owner, self.token, 0)


def _is_gone(pid: int) -> bool:
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
