"""Tables of people: users, sessions, API tokens."""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cloud.kit.sql import Connection, metadata
from cloud.people.model import Language, Principal, Role, Scope, User

user_table: Final = sa.Table(
    "user_account",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("username", sa.String(64), nullable=False, unique=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("language", sa.String(8), nullable=False),
    sa.Column("password_hash", sa.String(256), nullable=False),
    sa.Column("must_change_password", sa.Boolean(name="must_change"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("disabled_at", sa.BigInteger),
    sa.Column("last_login_at", sa.BigInteger),
)
session_table: Final = sa.Table(
    "user_session",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("user_id", sa.ForeignKey("user_account.id"), nullable=False, index=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("agent", sa.String(200), nullable=False),
)
token_table: Final = sa.Table(
    "api_token",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("user_id", sa.ForeignKey("user_account.id"), nullable=False, index=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("scope", sa.String(8), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("used_at", sa.BigInteger),
)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session with its person."""

    principal: Principal
    is_enabled: bool
    seen_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An API token as its owner sees it; the secret itself is never kept."""

    id: str
    user_id: str
    name: str
    scope: Scope
    created_at: int
    expires_at: int | None
    used_at: int | None


_USER_COLUMNS: Final = (
    user_table.c.id, user_table.c.username, user_table.c.name, user_table.c.role, user_table.c.language,
    user_table.c.must_change_password, user_table.c.created_at, user_table.c.disabled_at, user_table.c.last_login_at,
)  # fmt: skip


def _user(row: Any) -> User:  # noqa: ANN401 - a row of _USER_COLUMNS
    return User(
        id=row.id,
        username=row.username,
        name=row.name,
        role=Role(row.role),
        language=Language(row.language),
        must_change_password=row.must_change_password,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        last_login_at=row.last_login_at,
    )


def users(connection: Connection, limit: int) -> list[User]:
    """Give people by username, at most `limit`."""
    statement = sa.select(*_USER_COLUMNS).order_by(user_table.c.username).limit(limit)
    return [_user(row) for row in connection.execute(statement)]


def user(connection: Connection, user_id: str) -> User | None:
    """Give one person."""
    statement = sa.select(*_USER_COLUMNS).where(user_table.c.id == user_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _user(row)


def user_named(connection: Connection, username: str) -> User | None:
    """Give the person with this username."""
    statement = sa.select(*_USER_COLUMNS).where(user_table.c.username == username)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _user(row)


def has_users(connection: Connection) -> bool:
    """Tell whether anybody is there."""
    return connection.execute(sa.select(user_table.c.id).limit(1)).first() is not None


def enabled_admins(connection: Connection) -> int:
    """Count the people who can still administer."""
    statement = sa.select(sa.func.count()).where(
        user_table.c.role == Role.ADMIN.value, user_table.c.disabled_at.is_(None)
    )
    count: int = connection.execute(statement).scalar_one()
    return count


def add_user(connection: Connection, person: User, password_hash: str) -> None:
    """Add a person."""
    connection.execute(
        sa.insert(user_table).values(
            id=person.id,
            username=person.username,
            name=person.name,
            role=person.role.value,
            language=person.language.value,
            password_hash=password_hash,
            must_change_password=person.must_change_password,
            created_at=person.created_at,
        )
    )


def change_user(connection: Connection, user_id: str, **values: object) -> None:
    """Set columns of a person."""
    connection.execute(sa.update(user_table).where(user_table.c.id == user_id).values(**values))


def password_hash(connection: Connection, user_id: str) -> str | None:
    """Give the stored hash."""
    statement = sa.select(user_table.c.password_hash).where(user_table.c.id == user_id)
    return connection.execute(statement).scalar_one_or_none()


def add_session(
    connection: Connection,
    *,
    key: str,
    user_id: str,
    at: int,
    expires_at: int,
    address: str,
    agent: str,
) -> None:
    """Start a session; `key` is the hash of its secret."""
    connection.execute(
        sa.insert(session_table).values(
            key=key, user_id=user_id, created_at=at, seen_at=at, expires_at=expires_at,
            address=address[:64], agent=agent[:200],
        )
    )  # fmt: skip


def sessions(connection: Connection, keys: list[str]) -> dict[str, SessionRow]:
    """Give the sessions that exist among these keys, with the present role of their people."""
    statement = (
        sa.select(session_table, *_USER_COLUMNS[1:6], user_table.c.disabled_at)
        .join_from(session_table, user_table)
        .where(session_table.c.key.in_(keys))
    )
    found = {}
    for row in connection.execute(statement):
        principal = Principal(
            user_id=row.user_id,
            username=row.username,
            name=row.name,
            role=Role(row.role),
            language=Language(row.language),
            credential=row.key,
            must_change_password=row.must_change_password,
            expires_at=row.expires_at,
        )
        found[row.key] = SessionRow(principal, row.disabled_at is None, row.seen_at, row.expires_at)
    return found


def touch_session(connection: Connection, key: str, at: int) -> None:
    """Note that a session was used."""
    connection.execute(
        sa.update(session_table).where(session_table.c.key == key).values(seen_at=at)
    )


def end_session(connection: Connection, key: str) -> None:
    """End one session."""
    connection.execute(sa.delete(session_table).where(session_table.c.key == key))


def end_sessions(connection: Connection, user_id: str) -> int:
    """End all sessions of a person and tell how many there were."""
    return connection.execute(
        sa.delete(session_table).where(session_table.c.user_id == user_id)
    ).rowcount


def forget_ended(connection: Connection, *, now: int, idle_before: int) -> int:
    """Remove ended sessions and expired tokens; tell how many rows went."""
    gone = connection.execute(
        sa.delete(session_table).where(
            (session_table.c.expires_at <= now) | (session_table.c.seen_at <= idle_before)
        )
    ).rowcount
    gone += connection.execute(
        sa.delete(token_table).where(token_table.c.expires_at <= now)
    ).rowcount
    return gone


def add_token(connection: Connection, *, key: str, token: TokenRow) -> None:
    """Add an API token; `key` is the hash of its secret."""
    connection.execute(
        sa.insert(token_table).values(
            key=key, id=token.id, user_id=token.user_id, name=token.name, scope=token.scope.value,
            created_at=token.created_at, expires_at=token.expires_at,
        )
    )  # fmt: skip


def tokens(connection: Connection, user_id: str) -> list[TokenRow]:
    """Give a person's API tokens, newest first."""
    statement = (
        sa.select(token_table)
        .where(token_table.c.user_id == user_id)
        .order_by(token_table.c.created_at.desc(), token_table.c.id)
    )
    return [
        TokenRow(row.id, row.user_id, row.name, Scope(row.scope), row.created_at, row.expires_at, row.used_at)
        for row in connection.execute(statement)
    ]  # fmt: skip


def token_owners(connection: Connection, keys: list[str]) -> dict[str, SessionRow]:
    """Give the people of the API tokens that exist among these keys."""
    statement = (
        sa.select(token_table, *_USER_COLUMNS[1:2], *_USER_COLUMNS[3:5], user_table.c.disabled_at)
        .add_columns(user_table.c.name.label("owner"))
        .join_from(token_table, user_table)
        .where(token_table.c.key.in_(keys))
    )
    found = {}
    for row in connection.execute(statement):
        principal = Principal(
            user_id=row.user_id,
            username=row.username,
            name=row.owner,
            role=Role(row.role),
            language=Language(row.language),
            credential=row.key,
            scope=Scope(row.scope),
            is_token=True,
            expires_at=row.expires_at,
        )
        ends = row.expires_at if row.expires_at is not None else 1 << 62
        found[row.key] = SessionRow(principal, row.disabled_at is None, row.used_at or 0, ends)
    return found


def touch_token(connection: Connection, key: str, at: int) -> None:
    """Note that a token was used."""
    connection.execute(sa.update(token_table).where(token_table.c.key == key).values(used_at=at))


def remove_token(connection: Connection, user_id: str, token_id: str) -> bool:
    """Revoke one API token of a person and tell whether it was there."""
    statement = sa.delete(token_table).where(
        token_table.c.user_id == user_id, token_table.c.id == token_id
    )
    return connection.execute(statement).rowcount > 0


def remove_tokens(connection: Connection, user_id: str) -> int:
    """Revoke all API tokens of a person and tell how many there were."""
    return connection.execute(
        sa.delete(token_table).where(token_table.c.user_id == user_id)
    ).rowcount
