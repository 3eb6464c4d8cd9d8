"""The book of alerts within one database transaction: read once, written once, told once."""

from dataclasses import replace

from cloud.alerts import store
from cloud.alerts.alert import Alert, Note
from cloud.alerts.model import Suppression
from cloud.alerts.view import view_of
from cloud.kit.sql import Connection
from cloud.notify import journal


class Ledger:
    """Alert records of one transaction; `flush` writes each changed one once, with one journal entry."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._by_key: dict[str, Alert | None] = {}
        self._notes: dict[str, list[Note]] = {}
        self._changed: dict[str, Alert] = {}

    def latest(self, key: str) -> Alert | None:
        """Give the newest record of a key, open or closed."""
        if key not in self._by_key:
            self._by_key[key] = store.latest_of_key(self._connection, key)
        return self._by_key[key]

    def put(self, alert: Alert, note: Note | None) -> None:
        """Store a record; without a note only its numbers changed."""
        self._by_key[alert.key] = alert
        self._changed[alert.id] = alert
        if note is not None:
            self._notes.setdefault(alert.id, []).append(note)

    def flush(self, now_ms: int) -> list[Alert]:
        """Write everything and give the alerts that history has a new line of.

        An alert that screens never saw and need not see makes no journal entry.
        """
        written: list[Alert] = []
        for alert in self._changed.values():
            notes = self._notes.get(alert.id, ())
            stored = store.write(self._connection, alert, notes)
            if notes:
                written.append(stored)
            if alert.suppression is Suppression.INHIBITED and not alert.seq:
                continue
            body = view_of(stored).model_dump(mode="json", exclude={"seq"})
            seq = journal.append(
                self._connection, at=now_ms, kind="alert", subject=alert.id, body=body
            )
            self._by_key[alert.key] = replace(stored, seq=seq)
            store.set_seq(self._connection, alert.id, seq)
        self._changed.clear()
        self._notes.clear()
        return written
