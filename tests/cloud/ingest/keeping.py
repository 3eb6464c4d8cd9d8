"""A keeper that only remembers what it was fed, in a table, as the real one does in its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from cloud.alerts.model import AlarmFact, EventFact
from cloud.kit.sql import Connection
from cloud.notify import journal
from cloud.series.model import Row, SeriesKey

fed_table = sa.Table(
    "test_fed",
    # Not the metadata of the service: its migrations are compared with that.
    sa.MetaData(),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("what", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(96), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)


class RememberingKeeper:
    """Fulfils `Keeper`; `broken` makes the next saves fail with this error."""

    def __init__(self) -> None:
        self.series: dict[int, SeriesKey] = {}
        self.rows = 0
        self.broken: Exception | None = None
        self.poison = ""
        self.loads = 0
        self.deaf = 0
        self._changes: list[tuple[str, str, dict[str, Any]]] = []

    @property
    def has_changes(self) -> bool:
        return bool(self._changes)

    def load(self) -> None:
        self.loads += 1
        self._changes.clear()

    def watch(
        self, series: Mapping[int, SeriesKey], newest: Mapping[int, int] | None = None
    ) -> None:
        self.series = dict(series)

    def feed_deafness(self) -> None:
        self.deaf += 1

    def feed_readings(
        self, rows: Sequence[Row], received_at: int, *, is_backfill: bool = False
    ) -> None:
        self.rows += len(rows)

    def feed_alarm(self, fact: AlarmFact) -> None:
        if self.poison and fact.kind == self.poison:
            raise ValueError("a rule has a fault")
        body = {
            "kind": fact.kind, "detail": dict(fact.detail), "measured_at": fact.measured_at,
            "device": fact.device, "reported_by": fact.reported_by,
        }  # fmt: skip
        self._changes.append(("alarm", fact.alarm_id, body))

    def feed_event(self, fact: EventFact) -> None:
        self._changes.append(("event", fact.device, {"kind": fact.kind}))

    def feed_edge(self, edge: str, online: bool, at: int) -> None:
        self._changes.append(("edge", edge, {"online": online}))

    def tick(self, now_ms: int) -> None:
        pass

    def save(self, connection: Connection, now_ms: int) -> None:
        if self.broken is not None:
            raise self.broken
        for what, subject, body in self._changes:
            connection.execute(sa.insert(fed_table).values(what=what, subject=subject, body=body))
            journal.append(connection, at=now_ms, kind="alert", subject=subject, body=body)
        self._changes.clear()
