"""Identifiers: UUIDv7 for what we make (RFC 9562, 5.7), printed names for what stands in the field."""

import re
import uuid
from typing import Final

NAME_LIMIT: Final = 64
_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def uuid7(now_ms: int, entropy: bytes) -> str:
    """Make a time-ordered identifier.

    Args:
        now_ms: Unix time in milliseconds, 48 bits are used.
        entropy: exactly 10 random bytes; the caller draws them, so that this stays pure.

    Returns:
        The canonical lower-case text of 36 characters.

    Raises:
        ValueError: `entropy` is not 10 bytes, or the time is negative or beyond 48 bits.
    """
    if len(entropy) != 10:
        raise ValueError(f"entropy must be 10 bytes, not {len(entropy)}")
    if not 0 <= now_ms < 1 << 48:
        raise ValueError(f"time {now_ms} ms does not fit 48 bits")
    value = now_ms << 80 | int.from_bytes(entropy, "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def is_name(text: str) -> bool:
    """Tell whether `text` may name an edge node, a device or a site: `shuibei-smoke-001`."""
    return len(text) <= NAME_LIMIT and _NAME.fullmatch(text) is not None
