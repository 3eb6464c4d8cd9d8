"""The worker as it ships, with the rules of the repository: every alarm is one alert, kills or not."""

import shutil

from cloud.alerts import store as alert_store
from contract.messages import Lane
from tests.cloud.ingest.conftest import EDGES, ROOT, Bench
from tests.cloud.ingest.scripted import now_ms, until

DEVICES = 24


def alerts(bench: Bench) -> dict[str, list[int]]:
    """Give the counts of all gas alerts by device."""
    found: dict[str, list[int]] = {}
    with bench.database.read() as connection:
        for rule in alert_store.open_rules(connection):
            for alert in alert_store.open_of_rule(connection, rule):
                if alert.device is not None and alert.device.startswith("gas-"):
                    found.setdefault(alert.device, []).append(alert.count)
    return found


def test_every_alarm_is_one_alert_though_the_worker_is_killed(bench: Bench) -> None:
    shutil.rmtree(bench.folder / "rules")
    shutil.copytree(ROOT / "config" / "rules", bench.folder / "rules")
    names = [f"gas-{n}" for n in range(DEVICES)]
    process = bench.start_process("real")
    edge = bench.edge(EDGES[0], names)
    for n, name in enumerate(names):
        edge.data([(n + 1, 0, 1.0, 0)], t0=now_ms() + n)
        edge.alarm(name)
        if n in (8, 16):
            wanted = edge.acked[Lane.ALARM] + 1
            until(lambda: edge.acked[Lane.ALARM] >= wanted or edge.resend(), "nothing goes on")  # noqa: B023 - used at once
            process.kill()
            process.wait()
            process = bench.start_process("real")
    until(lambda: edge.all_acked() or edge.resend(), "not everything is acknowledged")
    raised = alerts(bench)
    assert set(raised) == set(names)
    assert {tuple(counts) for counts in raised.values()} == {(1,)}
    for name in names:
        assert len(bench.points(name)) == 1
    process.terminate()
    assert process.wait(20) == 0
