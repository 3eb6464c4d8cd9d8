"""Urgent alerts that no screen has displayed in time: safety does not rest on a browser that happens to be open."""

from collections.abc import Iterable
from typing import Final

from cloud.kit.clock import Clock
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.notify.journal import Entry, Head
from cloud.screens import store

WAIT_MS: Final = 10_000
PENDING_LIMIT: Final = 10_000


class UnseenWatch:
    """Remembers alerts of priority 1 until a screen says that it shows them; used from one thread.

    Args:
        database: holds the receipts and takes the journal entry `unseen`.
        clock: what time it is.
        wait_ms: how long a screen may take.
    """

    def __init__(self, database: Database, *, clock: Clock, wait_ms: int = WAIT_MS) -> None:
        self._database = database
        self._clock = clock
        self._wait_ms = wait_ms
        self._pending: dict[str, Entry] = {}

    def observe(self, entries: Iterable[Entry]) -> None:
        """Take note of changes; an alert that somebody handles needs no screen any more."""
        for entry in entries:
            if entry.kind != "alert":
                continue
            if not _is_urgent(entry):
                self._pending.pop(entry.subject, None)
            elif entry.subject not in self._pending and len(self._pending) < PENDING_LIMIT:
                self._pending[entry.subject] = entry

    def check(self) -> list[str]:
        """Write an `unseen` entry, once per alert, for each that has waited too long; give their ids."""
        if not self._pending:
            return []
        now = self._clock.now_ms()
        with self._database.read() as connection:
            head = journal.head(connection)
            displayed = store.furthest_displayed(connection, head.epoch)
        for alert, entry in list(self._pending.items()):
            if entry.seq <= displayed:
                del self._pending[alert]
        late = [entry for entry in self._pending.values() if now - entry.at >= self._wait_ms]
        told = [entry.subject for entry in late if self._tell(head, entry, now)]
        for entry in late:
            del self._pending[entry.subject]
        return told

    def _tell(self, head: Head, entry: Entry, now: int) -> bool:
        body = {
            "alert": entry.subject,
            "alert_seq": entry.seq,
            "epoch": head.epoch,
            "priority": entry.body.get("priority"),
            "raised_at": entry.at,
            "waited_ms": now - entry.at,
        }
        with self._database.write() as connection:
            if not store.mark_unseen(connection, alert=entry.subject, seq=entry.seq, at=now):
                return False
            journal.append(connection, at=now, kind="unseen", subject=entry.subject, body=body)
        return True


def _is_urgent(entry: Entry) -> bool:
    body = entry.body
    return (
        body.get("priority") == 1
        and body.get("handling") == "new"
        and body.get("suppression") in {None, "none"}
    )
