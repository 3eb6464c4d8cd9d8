"""The exact comparison of what feeders delivered with what the cloud holds."""

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Any

from cloud.series.service import open_reader
from tests.torture.core import Core
from tests.torture.feeder import ALARM_DEVICES, STEP_MS, ledger_end


@dataclass(frozen=True, slots=True)
class Compared:
    """How much was compared, for the report."""

    readings: int
    alarms: int


def compare(core: Core, *edges: str) -> Compared:
    """Check that every reading delivered is stored once with its value and time, and every alarm raised once.

    A kill of the edge may have come between the spool's word and the ledger's line, so one batch more may be there.
    """
    readings, alarms = 0, 0
    raised = alerts(core)
    for edge in edges:
        plan, count = core.plan(edge), ledger_end(core.folder(edge) / "ledger")
        assert count > 0, f"{edge} delivered nothing"
        for series, points in stored(core, edge).items():
            wanted = [(plan.start + k * STEP_MS, float(k)) for k in range(len(points))]
            assert points == wanted, f"{edge} series {series}: {first_difference(points, wanted)}"
            assert count <= len(points) <= count + plan.batch, (
                f"{edge} series {series}: {len(points)} stored, {count} delivered"
            )
            readings += len(points)
        alarms += compare_alarms(raised, edge, count, plan.alarm_every)
    return Compared(readings, alarms)


def compare_alarms(raised: list[dict[str, Any]], edge: str, count: int, every: int) -> int:
    """Check that each alarm delivered is exactly one alert; gives how many."""
    found = Counter(a["device"] for a in raised if a["device"].startswith(f"{edge}-smoke-"))
    fired = {f"{edge}-smoke-{n}" for n in range(min(-(-count // every), ALARM_DEVICES))}
    doubled = [device for device, times in found.items() if times > 1]
    assert not doubled, f"raised more than once: {doubled[:5]}"
    assert not fired - found.keys(), f"never raised: {sorted(fired - found.keys())[:5]}"
    more = found.keys() - fired
    assert len(more) <= 1, f"raised, but never delivered: {sorted(more)[:5]}"
    return len(found)


def stored(core: Core, edge: str) -> dict[int, list[tuple[int, float | None]]]:
    """Give the time and value of every stored reading of an edge, by series."""
    plan = core.plan(edge)
    reader = open_reader(core.home.cloud_config.parent / "series")
    keys = {key.device: series for series, key in reader.keys().items()}
    return {
        n: [
            (point.measured_at, point.value)
            for point in reader.raw(
                keys[f"{edge}-pressure-{n}"], plan.start, plan.start + 10**10, 10_000_000
            )
        ]
        for n in range(plan.series)
    }


def journal(core: Core) -> list[dict[str, Any]]:
    """Give every change of an alert, oldest first."""
    sql = sqlite3.connect(core.home.cloud_config.parent / "app.db")
    rows = sql.execute("select body from journal where kind = 'alert' order by seq").fetchall()
    sql.close()
    return [json.loads(body) for (body,) in rows]


def alerts(core: Core, rule: str = "smoke.fire") -> list[dict[str, Any]]:
    """Give the newest state of every alert of a rule that was ever raised."""
    newest = {view["id"]: view for view in journal(core) if view["rule"].startswith(rule)}
    return list(newest.values())


def first_difference(got: list[Any], wanted: list[Any]) -> str:
    """Say where two lists part."""
    for index, (left, right) in enumerate(zip(got, wanted, strict=False)):
        if left != right:
            return f"at {index}: stored {left}, delivered {right}"
    return f"{len(got)} against {len(wanted)}"
