"""The launcher's clock, for comparing with the clocks an alert carries."""

import time


def now_ms() -> int:
    """Give Unix milliseconds, UTC."""
    return time.time_ns() // 1_000_000
