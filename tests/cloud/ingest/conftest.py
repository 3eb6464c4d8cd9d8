"""A broker, a database, a worker: real ones, for each test its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cloud.alerts import ruleset
from cloud.alerts.keeper import AlertKeeper
from cloud.devices.directory import Directory
from cloud.ingest import chores, store
from cloud.ingest.ports import Keeper
from cloud.kit.clock import SystemClock
from cloud.kit.sql import Database, metadata
from cloud.series.local import LocalSeries
from cloud.series.reader import SeriesReader
from cloud.settings import load
from cloud.worker import Worker, build
from tests.cloud.ingest.keeping import RememberingKeeper, fed_table
from tests.cloud.ingest.scripted import ScriptedEdge, now_ms, until
from tests.mosquitto import CLOUD, Mosquitto

ROOT = Path(__file__).parents[3]
EDGES = ("test-edge-1", "test-edge-2")
_CONFIG = """
database: {{url: "sqlite:///app.db"}}
series: {{kind: local, path: series}}
broker: {{host: 127.0.0.1, port: {port}, username: linli-cloud, password_file: broker-password}}
rules: rules
"""


class Bench:
    """One worker (in a thread, or in processes of its own) with its broker, its stores and scripted edges."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = Mosquitto(folder / "broker", EDGES)
        self.broker.start()
        (folder / "broker-password").write_text(CLOUD)
        (folder / "rules").mkdir()
        (folder / "cloud.yaml").write_text(_CONFIG.format(port=self.broker.port))
        self.database = Database(f"sqlite:///{folder / 'app.db'}")
        with self.database.write() as connection:
            metadata.create_all(connection)
            fed_table.create(connection)
        self.keeper = RememberingKeeper()
        self.worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._edges: list[ScriptedEdge] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.exit_code: int | None = None

    def start_worker(self, *, rules: Path | None = None) -> Worker:
        """Start it with the remembering keeper, or with the real one and the rules of a folder."""
        clock = SystemClock()

        def open_keeper(database: Database, directory: Directory) -> Keeper:
            if rules is None:
                return self.keeper
            found = ruleset.load(rules)
            return AlertKeeper(database=database, rules=found, directory=directory, clock=clock)

        worker = build(
            load(self.folder / "cloud.yaml"),
            open_series=lambda: LocalSeries(self.folder / "series", clock),
            open_keeper=open_keeper,
            clock=clock,
            compaction=None,
        )
        self.worker = worker

        def run() -> None:
            self.exit_code = worker.run()

        self._thread = threading.Thread(target=run, name="worker")
        self._thread.start()
        until(lambda: worker.link.is_connected, "the worker does not connect")
        return worker

    def stop_worker(self) -> None:
        if self.worker is not None and self._thread is not None:
            self.worker.stop.set()
            self._thread.join(30)
            assert not self._thread.is_alive()
            self.worker = None

    def start_process(self, *more: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cloud.ingest.worker_process", str(self.folder), *more],
            cwd=ROOT,
            env=environment,
        )
        return self._process

    def edge(self, name: str, devices: list[str], **more: Any) -> ScriptedEdge:
        edge = ScriptedEdge(name, self.broker.port, devices, **more).start()
        self._edges.append(edge)
        return edge

    def fed(self, what: str) -> list[Any]:
        with self.database.read() as connection:
            statement = sa.select(fed_table).where(fed_table.c.what == what).order_by(fed_table.c.n)
            return list(connection.execute(statement))

    def rejected(self, reason: str) -> int:
        with self.database.read() as connection:
            found = store.rejections(connection, None, 1_000)
        return sum(item.count for item in found if item.reason.value == reason)

    def points(self, device: str) -> dict[int, float | None]:
        reader = SeriesReader(self.folder / "series")
        try:
            number = next((n for n, key in reader.keys().items() if key.device == device), None)
            if number is None:
                return {}
            points = reader.raw(number, 0, now_ms() * 2, 10_000_000)
            found = {point.measured_at: point.value for point in points}
            assert len(found) == len(points), "a reading is stored twice"
            return found
        finally:
            reader.close()

    def close(self) -> None:
        for edge in self._edges:
            edge.stop()
        self.stop_worker()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.broker.kill()
        self.database.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    # Refusals reach the database with the sign of life; tests would only wait for it.
    monkeypatch.setattr(chores, "BEAT_S", 0.1)
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.close()
