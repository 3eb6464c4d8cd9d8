"""The only place on the edge where time is read."""

import time
from typing import Protocol


class Clock(Protocol):
    """What code that needs time is given."""

    def now_ms(self) -> int:
        """Give Unix milliseconds, UTC; may jump when the box's clock is set."""
        ...

    def monotonic_s(self) -> float:
        """Give seconds that never go back; for durations and time-outs."""
        ...


class SystemClock:
    """The box's own clock."""

    def now_ms(self) -> int:
        """Give Unix milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Give seconds since some fixed moment."""
        return time.monotonic()
