"""Two worker processes with half of the shards each, one broker, one database: everything is judged once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.alerts import store as alert_store
from cloud.kit.sql import Database
from tests.cloud.alerts.world import RULES
from tests.cloud.ingest.conftest import EDGES, ROOT
from tests.cloud.ingest.scripted import ScriptedEdge, until
from tests.mosquitto import CLOUD, Mosquitto

LOW, HIGH = EDGES  # shards 15 and 53
_CONFIG = """
database: {{url: "{url}"}}
series: {{kind: local, path: series}}
broker: {{host: 127.0.0.1, port: {port}, username: linli-cloud, password_file: broker-password}}
rules: rules
shards: [{first}, {last}]
"""


class District:
    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self.database = Database(url)
        self.database.create_all()
        self.broker = Mosquitto(folder / "broker", EDGES)
        self.broker.start()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.edges: list[ScriptedEdge] = []

    def worker(self, name: str, first: int, last: int) -> subprocess.Popen[bytes]:
        folder = self._folder / name
        (folder / "rules").mkdir(parents=True)
        rules = RULES.replace("for_s: 10, clear", "for_s: 1, clear")
        (folder / "rules" / "rules.yaml").write_text(rules)
        (folder / "broker-password").write_text(CLOUD)
        config = _CONFIG.format(url=self._url, port=self.broker.port, first=first, last=last)
        (folder / "cloud.yaml").write_text(config)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cloud.ingest.worker_process", str(folder), "real"],
            cwd=ROOT,
        )
        self.processes.append(process)
        return process

    def edge(self, name: str, devices: list[str]) -> ScriptedEdge:
        edge = ScriptedEdge(name, self.broker.port, devices).start()
        self.edges.append(edge)
        return edge

    def settle(self) -> None:
        for edge in self.edges:
            until(lambda: edge.all_acked() or edge.resend(), f"{edge.id} is not acknowledged")  # noqa: B023 - used at once

    def alerts(self) -> list[tuple[str, str | None, int]]:
        with self.database.read() as connection:
            found = alert_store.page(connection, state="open", limit=500)
        return sorted((alert.rule, alert.device, alert.count) for alert in found)

    def close(self) -> None:
        for edge in self.edges:
            edge.stop()
        for process in self.processes:
            process.kill()
            process.wait()
        self.broker.kill()
        self.database.close()


@pytest.fixture
def district(tmp_path: Path, database_url: str) -> Iterator[District]:
    made = District(tmp_path, database_url)
    try:
        yield made
    finally:
        made.close()


def test_each_alarm_and_each_silence_is_judged_once_also_after_a_death(district: District) -> None:
    first = district.worker("first", 0, 31)
    district.worker("second", 32, 63)
    low, high = district.edge(LOW, ["gas-a", "gas-b"]), district.edge(HIGH, ["gas-c", "gas-d"])
    for edge, device in ((low, "gas-a"), (high, "gas-c")):
        edge.alarm(device, kind="fire")
    district.settle()
    district.worker("waiting", 0, 31)
    first.kill()
    first.wait()
    for edge, device in ((low, "gas-b"), (high, "gas-d")):
        edge.alarm(device, kind="fire")
    district.settle()
    fires = [("smoke.fire", f"gas-{letter}", 1) for letter in "abcd"]
    assert [alert for alert in district.alerts() if alert[0] == "smoke.fire"] == fires
    high._client.loop_stop()
    high._client.socket().shutdown(2)
    until(
        lambda: ("edge.offline", HIGH, 1) in district.alerts() or None,
        "the silence is not judged",
    )
    assert [alert for alert in district.alerts() if alert[0] == "smoke.fire"] == fires
