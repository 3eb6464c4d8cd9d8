"""A worker killed without warning, five times under load: every reading stored once, every alarm fed once."""

import random

from contract.messages import Lane
from tests.cloud.ingest.conftest import EDGES, Bench
from tests.cloud.ingest.scripted import ScriptedEdge, now_ms, until

READINGS = 4_000
ALARMS = 200
KILLS = 5


def drive(edge: ScriptedEdge, device: str, t0: int, step: int) -> None:
    """Send as long as the windows of the lanes allow; `step` counts the readings sent before."""
    for n in range(step, step + 40):
        edge.data([(1, 0, float(n), 0)], t0=t0 + n)
    edge.alarm(device)
    edge.alarm(device, kind="fault")


def test_nothing_is_lost_or_doubled_by_a_killed_worker(bench: Bench) -> None:
    chance = random.Random(2026)
    rounds = READINGS // 40
    kills = sorted(chance.sample(range(5, rounds - 5), KILLS))
    process = bench.start_process()
    edge = bench.edge(EDGES[0], ["gas-1"])
    t0 = now_ms() - READINGS
    for step in range(rounds):
        drive(edge, "gas-1", t0, step * 40)
        if step in kills:
            # Somewhere between taking the first of these messages in and acknowledging the last.
            wanted = edge.acked[Lane.DATA] + chance.randrange(20)
            until(lambda: edge.acked[Lane.DATA] >= wanted or edge.resend(), "nothing goes on")  # noqa: B023 - used at once
            process.kill()
            process.wait()
            process = bench.start_process()
        until(lambda: edge.window_open() or edge.resend(), "the worker does not go on")
    until(lambda: edge.all_acked() or edge.resend(), "not everything is acknowledged")
    assert bench.points("gas-1") == {t0 + n: float(n) for n in range(READINGS)}
    fed = [row.subject for row in bench.fed("alarm")]
    assert len(fed) == ALARMS
    assert len(set(fed)) == ALARMS
