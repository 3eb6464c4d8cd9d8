"""How long somebody who mistypes a password has to wait: by user and by address, pure arithmetic.

A user's wait ends after a minute at most, so that nobody can lock duty staff out of the console by guessing under their
name; an address waits up to a quarter of an hour.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from cloud.people.model import Attempts

FORGOTTEN_AFTER_MS: Final = 900_000
_LONGEST_DOUBLING: Final = 20


@dataclass(frozen=True, slots=True)
class Patience:
    """So many failures are free, then the wait doubles from a second up to `longest_ms`."""

    free: int
    longest_ms: int


USER: Final = Patience(free=5, longest_ms=60_000)
ADDRESS: Final = Patience(free=30, longest_ms=900_000)
SHARED: Final = Patience(free=30, longest_ms=5_000)
"""For this machine itself: behind a proxy that does not say who asks, everybody has this address."""


def after_failure(counted: Attempts, now: int, patience: Patience) -> Attempts:
    """Count one more failure; a quarter of an hour without any makes a fresh start."""
    failures = counted.failures if now - counted.last_at < FORGOTTEN_AFTER_MS else 0
    failures += 1
    over = failures - patience.free
    wait = 0 if over <= 0 else min(patience.longest_ms, 1_000 << min(over - 1, _LONGEST_DOUBLING))
    return Attempts(failures, now, now + wait)


def patience_with(network: str) -> Patience:
    """Give the patience with an address as `network_of` tells it."""
    try:
        return SHARED if ipaddress.ip_network(network).is_loopback else ADDRESS
    except ValueError:
        return ADDRESS


def network_of(address: str) -> str:
    """Give what one attacker has: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        if parsed.is_loopback:
            return str(parsed)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
