"""Signing in and out, sessions, API tokens: one transaction per command, secrets stored as hashes only."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cloud.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotSignedInError,
    TooManyRequestsError,
)
from cloud.kit.clock import Clock
from cloud.kit.password import Passwords
from cloud.kit.sql import Connection, Database
from cloud.people import attempt_store, audit_store, store, throttle
from cloud.people.model import (
    PASSWORD_MAX,
    Principal,
    Scope,
    SessionLimits,
    password_mistake,
)
from contract.ids import uuid7

TOUCH_EVERY_MS: Final = 60_000
TOKENS_PER_USER: Final = 20
_DAY_MS: Final = 86_400_000
_MARK: Final = "linli_"
_SECRET_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: `secret` goes into the cookie and is known to nobody else."""

    secret: str = field(repr=False)
    principal: Principal


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new API token; `secret` is shown once."""

    secret: str = field(repr=False)
    token: store.TokenRow


def key_of(secret: str) -> str:
    """Give the hash under which a session or token is stored; the secret has 256 random bits, so no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _refuse_token(principal: Principal) -> None:
    """A stolen token must not grow into more of them, or into the account."""
    if principal.is_token:
        raise ForbiddenError("an API token cannot do this", "sign in with your password")


class PeopleService:
    """Who somebody is.

    Args:
        database: where people are stored.
        clock: what time it is.
        passwords: how passwords are hashed.
        limits: how long sessions live.
    """

    def __init__(
        self, database: Database, *, clock: Clock, passwords: Passwords, limits: SessionLimits
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._limits = limits

    def sign_in(
        self, username: str, password: str, *, address: str, agent: str = "", replaces: str = ""
    ) -> SignedIn:
        """Start a session.

        Args:
            username: as registered.
            password: at most 128 characters are looked at.
            address: of the client, for throttling and the audit.
            agent: what the client calls itself.
            replaces: the secret of the session that ends by this, if any.

        Raises:
            NotSignedInError: name or password is wrong, or the person is disabled; which one is not
                told.
            TooManyRequestsError: too many failures; the hint says how long to wait.
        """
        username = username.strip().lower()[:64]
        keys = [f"user:{username}", f"address:{throttle.network_of(address)}"]
        with self._database.write() as connection:
            self._count_attempt(connection, keys)
        with self._database.read() as connection:
            person = store.user_named(connection, username)
            stored = None if person is None else store.password_hash(connection, person.id)
        is_right = len(password) <= PASSWORD_MAX and self._passwords.verify(stored, password)
        if person is None or not is_right or not person.is_enabled:
            if person is not None:
                self._audit(person.username, "sign_in_refused", person.id, address)
            raise NotSignedInError(
                "username or password is wrong",
                "check both; an administrator can set a new password",
            )
        with self._database.write() as connection:
            self._take_back_attempt(connection, keys)
            if replaces:
                store.end_session(connection, key_of(replaces))
            if stored is not None and self._passwords.is_outdated(stored):
                store.change_user(
                    connection, person.id, password_hash=self._passwords.hash(password)
                )
            return self._start_session(connection, person.id, address, agent)

    def by_session(self, secret: str) -> Principal | None:
        """Give the person of a live session; its use is written down at most once a minute."""
        if len(secret) > _SECRET_LIMIT:
            return None
        key = key_of(secret)
        now = self._clock.now_ms()
        with self._database.read() as connection:
            row = store.sessions(connection, [key]).get(key)
        if row is None or not self._is_live(row, now):
            return None
        if now - row.seen_at >= TOUCH_EVERY_MS:
            with self._database.write() as connection:
                store.touch_session(connection, key, now)
        return row.principal

    def by_token(self, secret: str) -> Principal | None:
        """Give the person of a live API token."""
        if len(secret) > _SECRET_LIMIT or not secret.startswith(_MARK):
            return None
        key = key_of(secret)
        now = self._clock.now_ms()
        with self._database.read() as connection:
            row = store.token_owners(connection, [key]).get(key)
        if row is None or not row.is_enabled or row.expires_at <= now:
            return None
        if now - row.seen_at >= TOUCH_EVERY_MS:
            with self._database.write() as connection:
                store.touch_token(connection, key, now)
        return row.principal

    def still_valid(self, principals: Sequence[Principal]) -> frozenset[str]:
        """Tell which credentials of open streams still stand for the same person in the same role.

        An open stream is a use of its session: a console that only watches does not time out.
        """
        now = self._clock.now_ms()
        keys = sorted({principal.credential for principal in principals})
        with self._database.read() as connection:
            found = store.sessions(connection, keys) | store.token_owners(connection, keys)
        due = [
            key
            for key, row in found.items()
            if not row.principal.is_token
            and self._is_live(row, now)
            and now - row.seen_at >= TOUCH_EVERY_MS
        ]
        if due:
            with self._database.write() as connection:
                for key in due:
                    store.touch_session(connection, key, now)
        return frozenset(
            principal.credential
            for principal in principals
            if (row := found.get(principal.credential)) is not None
            and row.principal.role is principal.role
            and (self._is_live(row, now) or (principal.is_token and row.is_enabled))
            and row.expires_at > now
        )

    def sign_out(self, principal: Principal, address: str = "") -> None:
        """End the session that asks."""
        with self._database.write() as connection:
            store.end_session(connection, principal.credential)
            self._write_audit(
                connection, principal.username, "sign_out", principal.user_id, address
            )

    def change_password(
        self, principal: Principal, *, old: str, new: str, address: str, agent: str = ""
    ) -> SignedIn:
        """Set the asker's own password; every session of this person ends and a new one begins.

        Raises:
            NotSignedInError: the old password is wrong.
            TooManyRequestsError: too many failures.
            InvalidError: the new password is too weak, or the old one again.
            ForbiddenError: a token asks, not a person.
        """
        _refuse_token(principal)
        keys = [f"user:{principal.username}", f"address:{throttle.network_of(address)}"]
        with self._database.write() as connection:
            self._count_attempt(connection, keys)
        with self._database.read() as connection:
            stored = store.password_hash(connection, principal.user_id)
        if len(old) > PASSWORD_MAX or not self._passwords.verify(stored, old):
            raise NotSignedInError("the old password is wrong", "type it again")
        mistake = password_mistake(new, principal.username)
        if old == new:
            mistake = "the new password is the old one"
        if mistake is not None:
            raise InvalidError(mistake, "choose another password")
        hashed = self._passwords.hash(new)
        with self._database.write() as connection:
            self._take_back_attempt(connection, keys)
            store.change_user(
                connection, principal.user_id, password_hash=hashed, must_change_password=False
            )
            store.end_sessions(connection, principal.user_id)
            self._write_audit(
                connection, principal.username, "password_changed", principal.user_id, address
            )
            return self._start_session(connection, principal.user_id, address, agent)

    def make_token(
        self, principal: Principal, *, name: str, scope: Scope, days: int | None, address: str = ""
    ) -> NewToken:
        """Make an API token for the asker; `days` None never expires.

        Raises:
            InvalidError: the person has 20 tokens already.
            ForbiddenError: a token asks, not a person.
        """
        _refuse_token(principal)
        secret = _MARK + secrets.token_urlsafe(32)
        now = self._clock.now_ms()
        expires_at = None if days is None else now + days * _DAY_MS
        token = store.TokenRow(
            uuid7(now, secrets.token_bytes(10)),
            principal.user_id,
            name,
            scope,
            now,
            expires_at,
            None,
        )
        with self._database.write() as connection:
            if len(store.tokens(connection, principal.user_id)) >= TOKENS_PER_USER:
                raise InvalidError(
                    f"you have {TOKENS_PER_USER} API tokens already", "revoke one that is not used"
                )
            store.add_token(connection, key=key_of(secret), token=token)
            self._write_audit(connection, principal.username, "token_created", token.id, address)
        return NewToken(secret, token)

    def tokens(self, principal: Principal) -> list[store.TokenRow]:
        """Give the asker's API tokens, newest first."""
        with self._database.read() as connection:
            return store.tokens(connection, principal.user_id)

    def revoke_token(self, principal: Principal, token_id: str, address: str = "") -> None:
        """End one API token of the asker.

        Raises:
            NotFoundError: there is none with this id.
        """
        with self._database.write() as connection:
            if not store.remove_token(connection, principal.user_id, token_id):
                raise NotFoundError("you have no such API token", "list your tokens")
            self._write_audit(connection, principal.username, "token_revoked", token_id, address)

    def forget_ended(self) -> int:
        """Remove what has ended; tell how many rows went."""
        now = self._clock.now_ms()
        with self._database.write() as connection:
            gone = store.forget_ended(connection, now=now, idle_before=now - self._limits.idle_ms)
            return gone + attempt_store.forget_attempts(connection, now - _DAY_MS)

    def _is_live(self, row: store.SessionRow, now: int) -> bool:
        return row.is_enabled and now < row.expires_at and now - row.seen_at < self._limits.idle_ms

    def _count_attempt(self, connection: Connection, keys: list[str]) -> None:
        """Count a failure before the password is looked at, so that parallel guesses do not slip through."""
        now = self._clock.now_ms()
        counted = [attempt_store.attempts(connection, key) for key in keys]
        wait_ms = max(item.blocked_until for item in counted) - now
        if wait_ms > 0:
            raise TooManyRequestsError(
                "too many failed attempts", f"try again in {-(-wait_ms // 1000)} s"
            )
        of_address = throttle.patience_with(keys[1].removeprefix("address:"))
        for key, item, patience in zip(keys, counted, (throttle.USER, of_address), strict=True):
            attempt_store.set_attempts(connection, key, throttle.after_failure(item, now, patience))

    def _take_back_attempt(self, connection: Connection, keys: list[str]) -> None:
        """Forget the person's failures; of the address only this one, or an own account would wash it clean."""
        user_key, address_key = keys
        attempt_store.clear_attempts(connection, [user_key])
        counted = attempt_store.attempts(connection, address_key)
        failures = max(0, counted.failures - 1)
        attempt_store.set_attempts(connection, address_key, replace(counted, failures=failures))

    def _start_session(
        self, connection: Connection, user_id: str, address: str, agent: str
    ) -> SignedIn:
        secret = secrets.token_urlsafe(32)
        key = key_of(secret)
        now = self._clock.now_ms()
        store.change_user(connection, user_id, last_login_at=now)
        store.add_session(
            connection, key=key, user_id=user_id, at=now,
            expires_at=now + self._limits.absolute_ms, address=address, agent=agent,
        )  # fmt: skip
        principal = store.sessions(connection, [key])[key].principal
        self._write_audit(connection, principal.username, "sign_in", user_id, address)
        return SignedIn(secret, principal)

    def _audit(self, actor: str, action: str, subject: str, address: str) -> None:
        with self._database.write() as connection:
            self._write_audit(connection, actor, action, subject, address)

    def _write_audit(
        self, connection: Connection, actor: str, action: str, subject: str, address: str
    ) -> None:
        audit_store.add_audit(
            connection, at=self._clock.now_ms(), actor=actor, action=action, subject=subject, address=address
        )  # fmt: skip
