"""Table of acts that matter for security: only ever added to."""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cloud.kit.sql import Connection, metadata

audit_table: Final = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("action", sa.String(48), nullable=False),
    sa.Column("subject", sa.String(100), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One act that matters for security."""

    id: int
    at: int
    actor: str
    action: str
    subject: str
    address: str
    detail: dict[str, Any]


def add_audit(
    connection: Connection, *, at: int, actor: str, action: str, subject: str, address: str = "",
    detail: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write one act down inside the caller's transaction."""
    connection.execute(
        sa.insert(audit_table).values(
            at=at, actor=actor, action=action, subject=subject, address=address[:64], detail=detail or {}
        )
    )  # fmt: skip


def audit(connection: Connection, before: int | None, limit: int) -> list[AuditRow]:
    """Give acts, newest first, with an id below `before`."""
    statement = sa.select(audit_table).order_by(audit_table.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(audit_table.c.id < before)
    return [
        AuditRow(row.id, row.at, row.actor, row.action, row.subject, row.address, row.detail)
        for row in connection.execute(statement)
    ]


def protect_audit(connection: Connection) -> None:
    """Let the database itself refuse to change or remove what was written down; may be called again."""
    if connection.dialect.name == "sqlite":
        for act in ("update", "delete"):
            connection.exec_driver_sql(
                f"create trigger if not exists audit_no_{act} before {act} on audit "
                "begin select raise(abort, 'the audit is append-only'); end"
            )
        return
    connection.exec_driver_sql(
        "create or replace function audit_append_only() returns trigger language plpgsql as "
        "$$ begin raise exception 'the audit is append-only'; end $$"
    )
    connection.exec_driver_sql("drop trigger if exists audit_append_only on audit")
    connection.exec_driver_sql(
        "create trigger audit_append_only before update or delete on audit "
        "for each row execute function audit_append_only()"
    )
