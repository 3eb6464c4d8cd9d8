"""The door to Argon2: passwords are hashed slowly, few at a time, and compared in constant time."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from cloud.errors import UnavailableError

_AT_ONCE: Final = 2
_WAITING: Final = 10
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS: Final = 4
_GROUP: Final = 5


class Passwords:
    """Hashes and verifies with Argon2id (RFC 9106, second recommended option: 64 MiB, 3 passes).

    At most two hashes are computed at once, so a flood of logins costs 128 MiB and no more, and ten wait at most.

    Args:
        memory_kib: memory of one hash; tests take little.
        passes: rounds over that memory.
    """

    def __init__(self, *, memory_kib: int = 65_536, passes: int = 3) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._places = threading.BoundedSemaphore(_WAITING)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        """Give the text to store: parameters, salt and hash."""
        with self._turn():
            return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password is the one; None (no such person) takes just as long and is false."""
        with self._turn():
            try:
                self._hasher.verify(stored or self._nobody, password)
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False
        return stored is not None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one of two slots; with ten waiting already refuse, or logins would hold every thread."""
        if not self._places.acquire(blocking=False):
            raise UnavailableError("too many logins at once", "try again in a few seconds")
        try:
            with self._slots:
                yield
        finally:
            self._places.release()

    def is_outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)


def generate() -> str:
    """Make a password that is typed without mistakes: 20 letters and digits in groups of 5, 99 bits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)
