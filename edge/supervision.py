"""Keeps a task of the node running: a crash is logged, counted and begun anew, and takes nothing else down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from edge.clock import Clock

log = structlog.get_logger()
PAUSE_S: Final = (1.0, 30.0)
CALM_S: Final = 60.0


@dataclass(slots=True)
class TaskHealth:
    """How a supervised task fares."""

    restarts: int = 0
    last_error: str = ""


async def supervise(
    name: str, work: Callable[[], Awaitable[None]], *, health: TaskHealth, clock: Clock
) -> None:
    """Run `work` until cancelled; after a crash again, with a pause of 1 to 30 s.

    A task that ran for a minute counts as healthy, so its next pause is short again.
    """
    pause = PAUSE_S[0]
    while True:
        began = clock.monotonic_s()
        try:
            await work()
            health.last_error = "ended by itself"
            log.error("task ended", task=name)
        except Exception as error:
            health.last_error = f"{type(error).__name__}: {error}"[:300]
            log.exception("task crashed", task=name)
        health.restarts += 1
        if clock.monotonic_s() - began >= CALM_S:
            pause = PAUSE_S[0]
        await asyncio.sleep(pause)
        pause = min(pause * 2, PAUSE_S[1])
