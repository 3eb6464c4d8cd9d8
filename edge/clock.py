"""The only place on the edge where time is read, and the judgement whether it can be believed."""

import time
from typing import Final, Protocol

BUILD_MS: Final = 1_767_225_600_000  # 2026-01-01: this software did not exist before.
JUMP_MS: Final = 60_000
SETTLE_S: Final = 600.0


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


class ClockGuard:
    """Compares the box's clock with the seconds that really passed.

    A clock before the build of this software is wrong. One that jumps by more than a minute was set:
    nobody can tell which side was right, so it is not trusted until it ran steadily for ten minutes,
    unless it jumped away from a date that was certainly wrong.
    """

    def __init__(self, clock: Clock) -> None:
        """Take the present moment as the first to compare with."""
        self._clock = clock
        self._offset = self._measure()
        self._doubt_until: float | None = None
        self.is_trusted = clock.now_ms() >= BUILD_MS

    def _measure(self) -> int:
        return self._clock.now_ms() - int(self._clock.monotonic_s() * 1000)

    def look(self) -> int:
        """Judge the clock anew; gives the milliseconds by which it just jumped, 0 when it did not."""
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        offset = self._measure()
        jump = offset - self._offset
        if abs(jump) > JUMP_MS:
            was_wrong = now_ms - jump < BUILD_MS <= now_ms
            self._doubt_until = None if was_wrong else now_s + SETTLE_S
            self._offset = offset
        else:
            jump = 0
            if self._doubt_until is not None and now_s >= self._doubt_until:
                self._doubt_until = None
        self.is_trusted = now_ms >= BUILD_MS and self._doubt_until is None
        return jump
