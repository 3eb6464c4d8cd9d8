"""A clock that stands still, a place for events, and waiting without guessing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class FixedClock:
    """Gives what the test sets. 1401069600 is 2014-05-26 10:00:00 in Shenzhen."""

    unix_ms: int = 1_401_069_600_000
    plant: float = 1_401_069_600.0

    def now_ms(self) -> int:
        return self.unix_ms

    def plant_s(self) -> float:
        return self.plant


@dataclass
class Events:
    """Remembers what was emitted."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, event: str, **facts: object) -> None:
        self.seen.append({"event": event, **facts})

    def of(self, event: str) -> list[dict[str, Any]]:
        return [item for item in self.seen if item["event"] == event]


async def _eventually(is_true: Callable[[], bool], limit_s: float = 25.0) -> None:
    async with asyncio.timeout(limit_s):
        while not is_true():  # noqa: ASYNC110 - the condition is a plain function of the test
            await asyncio.sleep(0.01)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait until a condition holds."""
    return _eventually
