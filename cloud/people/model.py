"""People and what they may do: roles, users, sessions, principals."""

import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

USERNAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
PASSWORD_MIN: Final = 10
PASSWORD_MAX: Final = 128
_TOO_COMMON: Final = frozenset(
    {"1234567890", "0123456789", "12345678910", "password12", "password123", "qwertyuiop",
     "1q2w3e4r5t", "administrator", "woaini1314", "a123456789", "1111111111", "0000000000",
     "5201314520", "changemeplease", "linlilinli"}
)  # fmt: skip


class Role(StrEnum):
    """What a person is here for; each route names the roles it serves."""

    DUTY = "duty"
    SUPERVISOR = "supervisor"
    INSTALLER = "installer"
    ADMIN = "admin"


class Scope(StrEnum):
    """What an API token may do of what its owner may: `read` only looks, `act` also changes."""

    READ = "read"
    ACT = "act"


class Language(StrEnum):
    """The language of a person's screens."""

    ZH = "zh"
    EN = "en"


PERMITTED: Final = MappingProxyType(
    {
        Role.DUTY: frozenset({Role.DUTY, Role.SUPERVISOR, Role.ADMIN}),
        Role.SUPERVISOR: frozenset({Role.SUPERVISOR, Role.ADMIN}),
        Role.INSTALLER: frozenset({Role.INSTALLER, Role.ADMIN}),
        Role.ADMIN: frozenset({Role.ADMIN}),
    }
)
"""For each role a route may demand: who has it. A supervisor can do what duty staff can, an admin everything."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The person (or the token of a person) that a request comes from.

    `credential` identifies the session or token without revealing it; `expires_at` is Unix ms, None
    for a token that does not expire.
    """

    user_id: str
    username: str
    name: str
    role: Role
    language: Language = Language.ZH
    credential: str = ""
    scope: Scope = Scope.ACT
    is_token: bool = False
    must_change_password: bool = False
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A person with a login; times are Unix ms."""

    id: str
    username: str
    name: str
    role: Role
    language: Language
    must_change_password: bool
    created_at: int
    disabled_at: int | None = None
    last_login_at: int | None = None

    @property
    def is_enabled(self) -> bool:
        """Tell whether this person may sign in."""
        return self.disabled_at is None


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed logins under one key; times are Unix ms."""

    failures: int = 0
    last_at: int = 0
    blocked_until: int = 0


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lives: `idle_ms` without use, `absolute_ms` in any case."""

    idle_ms: int = 12 * 3_600_000
    absolute_ms: int = 36 * 3_600_000


def username_mistake(username: str) -> str | None:
    """Say what is wrong with a new username, or None."""
    if USERNAME.fullmatch(username):
        return None
    return "a username has 1 to 64 of a–z, 0–9, dot, dash, underscore, and starts and ends with a letter or digit"


def password_mistake(password: str, username: str) -> str | None:
    """Say what is wrong with a new password, or None.

    Length and a list of the worst, no composition rules (NIST SP 800-63B, 3.1.1.2).
    """
    if len(password) < PASSWORD_MIN:
        return f"a password has at least {PASSWORD_MIN} characters"
    if len(password) > PASSWORD_MAX:
        return f"a password has at most {PASSWORD_MAX} characters"
    lowered = password.lower()
    if lowered in _TOO_COMMON or len(set(lowered)) < 5:
        return "this password is among the first that are tried"
    if username and username.lower() in lowered:
        return "a password must not contain the username"
    return None
