"""A crash takes nothing else down."""

import asyncio

import pytest
import structlog

from edge import supervision
from edge.clock import SystemClock
from edge.supervision import TaskHealth, supervise


async def test_a_crashing_task_is_logged_counted_and_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "PAUSE_S", (0.001, 0.002))
    runs, neighbour, health = 0, asyncio.Event(), TaskHealth()

    async def crash() -> None:
        nonlocal runs
        runs += 1
        if runs == 4:
            neighbour.set()
            await asyncio.Event().wait()
        raise ZeroDivisionError("on purpose")

    with structlog.testing.capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            crashing = supervise("driver.x", crash, health=health, clock=SystemClock())
            task = tasks.create_task(crashing, name="driver.x")
            async with asyncio.timeout(30):
                await neighbour.wait()
            task.cancel()
    assert health == TaskHealth(3, "ZeroDivisionError: on purpose")
    assert [entry["event"] for entry in logs] == ["task crashed"] * 3
    assert all(entry["exc_info"] for entry in logs)
