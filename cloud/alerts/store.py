"""The only file with the SQL of alerts: conditions, alert records, their chained history."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from cloud.alerts.alert import Alert, Note
from cloud.alerts.chain import Link, link
from cloud.alerts.model import Condition, Handling, Phase, Priority, Suppression, Trust, Verdict
from cloud.kit.sql import Connection, insert, metadata

conditions_table: Final = sa.Table(
    "alert_conditions",
    metadata,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("due_at", sa.BigInteger),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("shard", sa.Integer),
)


def _text(name: str, size: int) -> "sa.Column[Any]":
    return sa.Column(name, sa.String(size))


def _time(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.BigInteger)


def _must(name: str, kind: Any) -> "sa.Column[Any]":  # noqa: ANN401 - a column type or its class
    return sa.Column(name, kind, nullable=False)


alerts_table: Final = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    _must("key", sa.String(200)),
    _must("rule", sa.String(64)),
    _must("subject", sa.String(96)),
    _must("priority", sa.Integer),
    _must("title_zh", sa.String(300)),
    _must("title_en", sa.String(300)),
    _text("device", 96),
    _text("device_kind", 64),
    _text("device_name", 200),
    _text("place", 200),
    _text("place_name_zh", 400),
    _text("place_name_en", 400),
    sa.Column("x", sa.Float),
    sa.Column("y", sa.Float),
    _text("gateway", 96),
    _must("condition", sa.String(16)),
    _must("handling", sa.String(16)),
    _must("suppression", sa.String(16)),
    _text("inhibited_by", 36),
    _must("quality", sa.String(16)),
    _must("announce", sa.Boolean),
    sa.Column("value", sa.Float),
    _text("unit", 16),
    sa.Column("limit", sa.Float),
    _must("count", sa.Integer),
    _must("opened_at", sa.BigInteger),
    _must("raised_at", sa.BigInteger),
    _time("active_since"),
    _time("last_seen_at"),
    _time("cleared_at"),
    _text("acknowledged_by", 200),
    _time("acknowledged_at"),
    _time("ack_deadline"),
    _text("verdict", 32),
    _text("verified_by", 200),
    _time("verified_at"),
    sa.Column("note", sa.Text),
    _text("closed_by", 200),
    _time("closed_at"),
    _time("device_at"),
    _time("measured_at"),
    _time("received_at"),
    _must("is_test", sa.Boolean),
    _must("is_latched", sa.Boolean),
    _must("closes_itself", sa.Boolean),
    sa.Column("ack_within_s", sa.Integer),
    _must("members", sa.JSON),
    _must("runbook", sa.JSON),
    _must("updated_at", sa.BigInteger),
    _must("seq", sa.BigInteger),
    _must("history_count", sa.Integer),
    _must("history_hash", sa.String(64)),
    sa.Index("ix_alerts_key", "key", "id"),
    sa.Index("ix_alerts_handling", "handling", "id"),
    sa.Index("ix_alerts_ack_deadline", "ack_deadline"),
    sa.Index("ix_alerts_device", "device", "id"),
    sa.Index("ix_alerts_inhibited_by", "inhibited_by"),
)
"""One row per alert."""

sa.Index(
    "uq_alerts_open_key",
    alerts_table.c.key,
    unique=True,
    sqlite_where=alerts_table.c.handling != "closed",
    postgresql_where=alerts_table.c.handling != "closed",
)

history_table: Final = sa.Table(
    "alert_history",
    metadata,
    sa.Column("alert", sa.String(36), sa.ForeignKey("alerts.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    _must("at", sa.BigInteger),
    _must("who", sa.String(200)),
    _must("what", sa.String(32)),
    _must("why", sa.Text),
    _must("state", sa.JSON),
    _must("previous", sa.String(64)),
    _must("digest", sa.String(64)),
)

_A: Final = alerts_table.c
_NAMES: Final = tuple(column.name for column in alerts_table.columns)
_ENUMS: Final[dict[str, Any]] = {
    "priority": Priority,
    "condition": Phase,
    "handling": Handling,
    "suppression": Suppression,
    "quality": Trust,
    "verdict": Verdict,
}


def _row_of(alert: Alert) -> dict[str, Any]:
    row = {name: getattr(alert, name) for name in _NAMES}
    row["priority"] = int(alert.priority)
    row["members"] = list(alert.members)
    for name in ("condition", "handling", "suppression", "quality", "verdict"):
        row[name] = row[name].value if row[name] is not None else None
    return row


def _alert_of(row: "sa.Row[Any]") -> Alert:
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way to a mapping
    found["members"] = tuple(found["members"])
    for name, enum in _ENUMS.items():
        if found[name] is not None:
            found[name] = enum(found[name])
    return Alert(**found)


# --- alerts -----------------------------------------------------------------------------------


def latest_of_key(connection: Connection, key: str) -> Alert | None:
    """Give the newest record of a key."""
    statement = sa.select(alerts_table).where(_A.key == key).order_by(_A.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return _alert_of(row) if row is not None else None


def get(connection: Connection, alert_id: str) -> Alert | None:
    """Give a record by its id."""
    row = connection.execute(sa.select(alerts_table).where(_A.id == alert_id)).one_or_none()
    return _alert_of(row) if row is not None else None


def write(connection: Connection, alert: Alert, notes: Sequence[Note]) -> Alert:
    """Store a record and chain the lines of its history; gives the record with the chain's new head."""
    previous, count = alert.history_hash, alert.history_count
    links: list[Link] = []
    for note in notes:
        count += 1
        chained = link(alert.id, count, previous, note)
        previous = chained.digest
        links.append(chained)
    written = replace(alert, history_count=count, history_hash=previous)
    row = _row_of(written)
    statement = insert(connection, alerts_table).values(row)
    changed = {name: row[name] for name in _NAMES if name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
    if links:
        connection.execute(
            sa.insert(history_table),
            [
                {
                    "alert": alert.id,
                    "number": chained.number,
                    "at": chained.note.at,
                    "who": chained.note.who,
                    "what": chained.note.what,
                    "why": chained.note.why,
                    "state": chained.note.state,
                    "previous": chained.previous,
                    "digest": chained.digest,
                }
                for chained in links
            ],
        )
    return written


def set_seq(connection: Connection, alert_id: str, seq: int) -> None:
    """Note the journal number that an alert's newest state went out with."""
    connection.execute(sa.update(alerts_table).where(_A.id == alert_id).values(seq=seq))


def history(connection: Connection, alert_id: str) -> list[Link]:
    """Give an alert's history, oldest first."""
    statement = (
        sa.select(history_table)
        .where(history_table.c.alert == alert_id)
        .order_by(history_table.c.number)
    )
    return [
        Link(
            row.number,
            Note(row.at, row.who, row.what, row.why, row.state),
            row.previous,
            row.digest,
        )
        for row in connection.execute(statement)
    ]


def lapsed(connection: Connection, now: int) -> list[Alert]:
    """Give acknowledged alerts whose deadline has passed."""
    statement = sa.select(alerts_table).where(
        _A.handling == Handling.ACKNOWLEDGED.value, _A.ack_deadline <= now
    )
    return [_alert_of(row) for row in connection.execute(statement)]


def held_by(connection: Connection, alert_id: str) -> list[Alert]:
    """Give the open alerts that this one explains."""
    statement = sa.select(alerts_table).where(
        _A.inhibited_by == alert_id, _A.handling != Handling.CLOSED.value
    )
    return [_alert_of(row) for row in connection.execute(statement)]


def open_rules(connection: Connection) -> set[str]:
    """Give the ids of all rules with open alerts."""
    statement = sa.select(_A.rule).where(_A.handling != Handling.CLOSED.value).distinct()
    return set(connection.execute(statement).scalars())


def open_of_rule(connection: Connection, rule: str) -> list[Alert]:
    """Give the open alerts of a rule."""
    statement = sa.select(alerts_table).where(_A.rule == rule, _A.handling != Handling.CLOSED.value)
    return [_alert_of(row) for row in connection.execute(statement)]


def verdicts_of_device(connection: Connection, device: str, limit: int) -> list[Alert]:
    """Give the newest alerts of a device that have a verdict, newest first."""
    statement = (
        sa.select(alerts_table)
        .where(_A.device == device, _A.verdict.is_not(None))
        .order_by(_A.id.desc())
        .limit(limit)
    )
    return [_alert_of(row) for row in connection.execute(statement)]


def page(
    connection: Connection,
    *,
    state: str,
    limit: int,
    priority: int | None = None,
    device: str | None = None,
    text: str = "",
    before: str | None = None,
    with_suppressed: bool = False,
) -> list[Alert]:
    """Give alerts, newest first; `state` is `open`, `closed` or `all`, `before` an id to go on from."""
    statement = sa.select(alerts_table).order_by(_A.id.desc()).limit(limit)
    if state != "all":
        is_closed = _A.handling == Handling.CLOSED.value
        statement = statement.where(is_closed if state == "closed" else ~is_closed)
    if priority is not None:
        statement = statement.where(_A.priority == priority)
    if device is not None:
        statement = statement.where(_A.device == device)
    if before is not None:
        statement = statement.where(_A.id < before)
    if not with_suppressed:
        statement = statement.where(_A.suppression != Suppression.INHIBITED.value)
    if text:
        columns = (_A.device, _A.device_name, _A.place_name_zh, _A.place_name_en, _A.place,
                   _A.title_zh, _A.title_en, _A.rule)  # fmt: skip
        matches = [column.icontains(text, autoescape=True) for column in columns]
        statement = statement.where(sa.or_(*matches))
    return [_alert_of(row) for row in connection.execute(statement)]


# --- conditions ---------------------------------------------------------------------------------


def save_conditions(
    connection: Connection, changed: Iterable[Condition], gone: Sequence[str], shard: int
) -> None:
    """Store the conditions that changed, in the name of `shard`, and remove those that are blank again."""
    rows = [
        {
            "key": condition.key,
            "rule": condition.rule,
            "phase": condition.phase.value,
            "due_at": condition.due_at,
            "state": msgspec.json.encode(condition).decode(),
            "shard": shard,
        }
        for condition in changed
    ]
    if rows:
        statement = insert(connection, conditions_table)
        fresh = {
            name: statement.excluded[name] for name in ("rule", "phase", "due_at", "state", "shard")
        }
        connection.execute(
            statement.on_conflict_do_update(index_elements=["key"], set_=fresh), rows
        )
    for start in range(0, len(gone), 500):
        part = gone[start : start + 500]
        connection.execute(sa.delete(conditions_table).where(conditions_table.c.key.in_(part)))


class Stored(NamedTuple):
    """A condition and the shard in whose name it was stored, None when that was not yet noted."""

    condition: Condition
    shard: int | None


def load_conditions(
    connection: Connection, *, active_of: Sequence[str] | None = None
) -> list[Stored]:
    """Give all stored conditions, or only those of the rules `active_of` that hold just now."""
    columns = conditions_table.c
    statement = sa.select(columns.state, columns.shard).order_by(columns.key)
    if active_of is not None:
        held = (Phase.ACTIVE.value, Phase.CLEARING.value)
        statement = statement.where(columns.rule.in_(active_of), columns.phase.in_(held))
    decoder = msgspec.json.Decoder(Condition)
    return [Stored(decoder.decode(row.state), row.shard) for row in connection.execute(statement)]


def forget_conditions(connection: Connection, rule: str) -> None:
    """Remove the conditions of a rule that is gone."""
    connection.execute(sa.delete(conditions_table).where(conditions_table.c.rule == rule))
