"""The only place in the simulator where time is read."""

import time
from datetime import datetime, timedelta, timezone
from typing import Final, Protocol

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")  # no summer time since 1991
DAY_S: Final = 86_400.0


class Clock(Protocol):
    """What code that needs time is given."""

    def now_ms(self) -> int:
        """Give Unix milliseconds, UTC: the moment at which bytes leave."""
        ...

    def plant_s(self) -> float:
        """Give Unix seconds of the simulated plant; runs `speed` times as fast as the wall clock."""
        ...


class SystemClock:
    """The machine's clock; the plant (tanks, pipes, air) may run faster than it, devices never do."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._started_unix_s = time.time()
        self._started_s = time.monotonic()

    def now_ms(self) -> int:
        """Give Unix milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def plant_s(self) -> float:
        """Give Unix seconds of the plant."""
        return self._started_unix_s + (time.monotonic() - self._started_s) * self._speed


def local_time(unix_ms: int) -> datetime:
    """Give the wall time on a device's display in Shenzhen."""
    return datetime.fromtimestamp(unix_ms / 1000, tz=SHANGHAI)


def day_part(plant_s: float) -> float:
    """Give how much of the local day has passed, 0 at midnight to 1."""
    return ((plant_s + 8 * 3600) % DAY_S) / DAY_S
