"""The accounts an administrator keeps: adding people, changing and disabling them, the first administrator."""

import secrets
from dataclasses import dataclass, field
from typing import Final

from cloud.errors import ConflictError, InvalidError, NotFoundError
from cloud.kit.clock import Clock
from cloud.kit.password import Passwords, generate
from cloud.kit.sql import Connection, Database
from cloud.people import audit_store, store
from cloud.people.audit_store import AuditRow
from cloud.people.model import Language, Role, User, password_mistake, username_mistake
from contract.ids import uuid7

USERS_LIMIT: Final = 2_000
FIRST_ADMIN: Final = "admin"
SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class NewUser:
    """A person just added; `password` is there only when it was generated, and is shown once."""

    user: User
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserChange:
    """What to change of a person; None leaves it as it is."""

    name: str | None = None
    role: Role | None = None
    language: Language | None = None
    is_enabled: bool | None = None


class Accounts:
    """Keeps the list of people.

    Args:
        database: where they are stored.
        clock: what time it is.
        passwords: how passwords are hashed.
    """

    def __init__(self, database: Database, *, clock: Clock, passwords: Passwords) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords

    def first_start(self) -> NewUser | None:
        """Make the first administrator with a generated password if nobody is there yet.

        The password is in the answer and nowhere else.
        """
        with self._database.write() as connection:
            audit_store.protect_audit(connection)
            if store.has_users(connection):
                return None
        password = generate()
        hashed = self._passwords.hash(password)
        with self._database.write() as connection:
            if store.has_users(connection):
                return None
            person = self._new(FIRST_ADMIN, "管理员", Role.ADMIN, Language.ZH)
            self._insert(connection, person, hashed, by=SYSTEM, address="")
        return NewUser(person, password)

    def add(
        self,
        *,
        username: str,
        name: str,
        role: Role,
        language: Language = Language.ZH,
        password: str | None = None,
        by: str = SYSTEM,
        address: str = "",
    ) -> NewUser:
        """Add a person; without a password one is generated and has to be changed.

        Raises:
            InvalidError: username or password does not do.
            ConflictError: the username is taken.
        """
        mistake = username_mistake(username)
        if mistake is None and password is not None:
            mistake = password_mistake(password, username)
        if mistake is not None:
            raise InvalidError(mistake, "choose another")
        given = password or generate()
        hashed = self._passwords.hash(given)
        person = self._new(username, name, role, language, must_change=password is None)
        with self._database.write() as connection:
            if store.user_named(connection, username) is not None:
                raise ConflictError(f"the username {username!r} is taken", "choose another")
            self._insert(connection, person, hashed, by=by, address=address)
        return NewUser(person, given if password is None else None)

    def everybody(self) -> list[User]:
        """Give all people by username."""
        with self._database.read() as connection:
            return store.users(connection, USERS_LIMIT)

    def change(self, user_id: str, wanted: UserChange, *, by: str, address: str = "") -> User:
        """Change a person; a new role or disabling ends all their sessions.

        Raises:
            NotFoundError: there is no such person.
            ConflictError: nobody would be left to administer.
        """
        with self._database.write() as connection:
            before = self._existing(connection, user_id)
            values, ends_sessions = self._values(before, wanted)
            if values:
                store.change_user(connection, user_id, **values)
            if before.role is Role.ADMIN and store.enabled_admins(connection) == 0:
                raise ConflictError(
                    "this is the last administrator", "give another person that role first"
                )
            if ends_sessions:
                store.end_sessions(connection, user_id)
            if values.get("disabled_at") is not None:
                store.remove_tokens(connection, user_id)
            audit_store.add_audit(
                connection, at=self._clock.now_ms(), actor=by, action="user_changed",
                subject=user_id, address=address, detail={key: str(value) for key, value in values.items()},
            )  # fmt: skip
            return self._existing(connection, user_id)

    def set_password(
        self, user_id: str, password: str | None, *, by: str, address: str = ""
    ) -> str | None:
        """Set somebody's password, or generate one; all their sessions end.

        Returns:
            The password when it was generated, to be shown once.

        Raises:
            NotFoundError: there is no such person.
            InvalidError: the password does not do.
        """
        given = password or generate()
        hashed = self._passwords.hash(given)
        with self._database.write() as connection:
            person = self._existing(connection, user_id)
            mistake = password_mistake(given, person.username)
            if mistake is not None:
                raise InvalidError(mistake, "choose another password")
            store.change_user(
                connection, user_id, password_hash=hashed, must_change_password=password is None
            )
            store.end_sessions(connection, user_id)
            audit_store.add_audit(
                connection, at=self._clock.now_ms(), actor=by, action="password_set",
                subject=user_id, address=address,
            )  # fmt: skip
        return given if password is None else None

    def named(self, username: str) -> User:
        """Give the person with this username.

        Raises:
            NotFoundError: there is none.
        """
        with self._database.read() as connection:
            person = store.user_named(connection, username)
        if person is None:
            raise NotFoundError(f"there is no user {username!r}", "check the spelling")
        return person

    def audit(self, before: int | None, limit: int) -> list[AuditRow]:
        """Give acts, newest first, with an id below `before`."""
        with self._database.read() as connection:
            return audit_store.audit(connection, before, limit)

    def _existing(self, connection: Connection, user_id: str) -> User:
        person = store.user(connection, user_id)
        if person is None:
            raise NotFoundError("there is no such user", "list the users")
        return person

    def _values(self, before: User, wanted: UserChange) -> tuple[dict[str, object], bool]:
        values: dict[str, object] = {}
        if wanted.name is not None and wanted.name != before.name:
            values["name"] = wanted.name
        if wanted.role is not None and wanted.role is not before.role:
            values["role"] = wanted.role.value
        if wanted.language is not None and wanted.language is not before.language:
            values["language"] = wanted.language.value
        if wanted.is_enabled is not None and wanted.is_enabled != before.is_enabled:
            values["disabled_at"] = None if wanted.is_enabled else self._clock.now_ms()
        return values, "role" in values or "disabled_at" in values

    def _new(
        self, username: str, name: str, role: Role, language: Language, *, must_change: bool = False
    ) -> User:
        now = self._clock.now_ms()
        return User(
            id=uuid7(now, secrets.token_bytes(10)),
            username=username,
            name=name,
            role=role,
            language=language,
            must_change_password=must_change,
            created_at=now,
        )

    def _insert(
        self, connection: Connection, person: User, hashed: str, *, by: str, address: str
    ) -> None:
        store.add_user(connection, person, hashed)
        audit_store.add_audit(
            connection, at=person.created_at, actor=by, action="user_created", subject=person.id,
            address=address, detail={"username": person.username, "role": person.role.value},
        )  # fmt: skip
