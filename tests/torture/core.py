"""Broker, API and ingest worker with feeders instead of a simulator, and the comparison of ledger and store."""

import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cloud.kit.clock import SystemClock
from cloud.series.service import open_reader
from linli.up.broker import prepare
from linli.up.client import ApiClient, ApiError
from linli.up.home import CLOUD_USER, Home, choose_ports, secret, write_cloud_config
from linli.up.parts import run_once
from linli.up.processes import Part, Supervisor, linli
from tests.torture.feeder import STEP_MS, ledger_end

ROOT = Path(__file__).parents[2]
SERIES = 20


@dataclass(slots=True)
class Core:
    """A running cloud with feeders."""

    home: Home
    supervisor: Supervisor
    client: ApiClient
    edges: list[str]
    said: list[str] = field(default_factory=list)

    def part(self, name: str) -> Part:
        return next(part for part in self.supervisor.parts if part.name == name)

    def folder(self, edge: str) -> Path:
        return self.home.root / edge

    def kill(self, name: str) -> None:
        """kill -9 and wait until the part runs again."""
        part = self.part(name)
        pid = part.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self.wait(lambda: part.pid not in {None, pid}, f"{name} did not come back")

    def wait(
        self, claim: Callable[[], Any], what: str | Callable[[], str], within_s: float = 120.0
    ) -> Any:
        end = time.monotonic() + within_s
        while True:
            self.supervisor.watch()
            try:
                value = claim()
            except (ApiError, sqlite3.OperationalError):
                value = None
            if value:
                return value
            assert time.monotonic() < end, (
                f"{what if isinstance(what, str) else what()}\n{self.logs()}"
            )
            time.sleep(0.05)

    def run_for(self, seconds: float) -> None:
        """Let everything work for a while; parts that ended are started again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervisor.watch()
            time.sleep(0.02)

    def logs(self) -> str:
        tails = [
            f"── {log.name}\n"
            + "\n".join(line[:300] for line in log.read_text(errors="replace").splitlines()[-8:])
            for log in sorted(self.home.logs.glob("*.log"))
        ]
        return "\n".join([*self.said[-20:], *tails])

    def settle(self) -> None:
        """Let the feeders stop feeding and wait until everything they delivered is stored and acknowledged."""
        for edge in self.edges:
            pid = self.part(edge).pid
            assert pid is not None
            os.kill(pid, signal.SIGUSR1)
        self.run_for(0.3)
        for edge in self.edges:
            self.wait(
                lambda edge=edge: self.waiting(edge) == 0,
                lambda edge=edge: f"{edge}: {self.waiting(edge)} wait",
            )

    def waiting(self, edge: str) -> int:
        """Give what the edge still keeps, as its feeder tells since it has stopped feeding; -1 before."""
        told = self.folder(edge) / "waiting"
        return int(told.read_text()) if told.exists() else -1

    def check_readings(self) -> int:
        """Compare every stored reading with the ledger; gives how many were compared."""
        reader = open_reader(self.home.cloud_config.parent / "series")
        keys = {
            key.device: series
            for series, key in reader.keys().items()
            if key.metric == "pressure_kpa"
        }
        compared = 0
        for edge in self.edges:
            count = ledger_end(self.folder(edge) / "ledger")
            begin = int((self.folder(edge) / "start").read_text())
            assert count > 0, f"{edge} delivered nothing"
            for number in range(SERIES):
                points = reader.raw(
                    keys[f"{edge}-pressure-{number}"], begin, begin + 10**10, 10_000_000
                )
                got = [(point.measured_at, point.value) for point in points]
                wanted = [(begin + k * STEP_MS, float(k)) for k in range(len(got))]
                assert got == wanted, f"{edge} series {number}: {first_difference(got, wanted)}"
                assert count <= len(got) <= count + 1, (
                    f"{edge} series {number}: {len(got)} stored, {count} delivered"
                )
                compared += len(got)
        return compared

    def check_alarms(self, alarm_every: int) -> int:
        """Check that each alarm delivered is exactly one alert, raised once; gives how many."""
        with sqlite3.connect(self.home.cloud_config.parent / "app.db") as sql:
            rows = sql.execute("select body from journal where kind = 'alert'").fetchall()
        sql.close()
        newest: dict[str, dict[str, Any]] = {}
        for (body,) in rows:
            view = json.loads(body)
            if view["rule"].startswith("smoke.fire"):
                newest[view["id"]] = view
        for edge in self.edges:
            count = ledger_end(self.folder(edge) / "ledger")
            fired = -(-count // alarm_every)
            found = [
                view["device"]
                for view in newest.values()
                if view["device"].startswith(f"{edge}-smoke-")
            ]
            assert len(found) == len(set(found)), f"{edge}: an alarm was raised twice"
            assert fired <= len(found) <= fired + 1, (
                f"{edge}: {len(found)} alerts for {fired} alarms"
            )
        return len(newest)


def first_difference(got: list[Any], wanted: list[Any]) -> str:
    for index, (left, right) in enumerate(zip(got, wanted, strict=False)):
        if left != right:
            return f"at {index}: stored {left}, delivered {right}"
    return f"{len(got)} against {len(wanted)}"


def import_site(home: Home, names: list[str]) -> None:
    """Make the edge nodes known to the cloud."""
    site = home.root / "site.yaml"
    document = {
        "site": {
            "id": "torture",
            "name_zh": "测试",
            "name_en": "Test",
            "width_m": 100,
            "depth_m": 100,
        }
    }
    document |= {
        "places": [],
        "edges": [{"id": name, "name": name} for name in names],
        "devices": [],
    }
    site.write_text(yaml.safe_dump(document, allow_unicode=True))
    run_once(home, ROOT, "cloud", "import-site", str(site), "--config", str(home.cloud_config))


def start(root: Path, *, edges: int, per_second: int, alarm_every: int) -> Core:
    """Start broker, API, worker and feeders; returns when the API answers."""
    home = Home(root, choose_ports(18700, field_ports=1))
    home.logs.mkdir(parents=True)
    names = [f"torture-edge-{n}" for n in range(1, edges + 1)]
    write_cloud_config(home, ROOT)
    words = {CLOUD_USER: secret(home.cloud_config.parent / "secrets" / CLOUD_USER)}
    words |= {name: secret(root / "secrets" / name) for name in names}
    broker = prepare(home.broker, "127.0.0.1", home.ports.broker, words)
    config = str(home.cloud_config)
    printed = run_once(home, ROOT, "cloud", "migrate", "--config", config, "--json")
    import_site(home, names)
    said: list[str] = []
    supervisor = Supervisor(ROOT, said.append)
    supervisor.start(Part("broker", broker.argv, home.logs / "broker.log"))
    supervisor.start(
        Part("cloud", linli("cloud", "serve", "--config", config), home.logs / "cloud.log")
    )
    supervisor.start(
        Part("ingest", linli("cloud", "ingest", "--config", config), home.logs / "ingest.log")
    )
    for name in names:
        (root / name).mkdir()
        # A day ago, so that no reading is ever in the future, however long the run is.
        (root / name / "start").write_text(str(SystemClock().now_ms() - 86_400_000))
        argv = [
            sys.executable, "-m", "tests.torture.feeder", str(root / name), str(home.ports.broker), name, words[name],
            str(SERIES), str(per_second), str(alarm_every),
        ]  # fmt: skip
        supervisor.start(Part(name, argv, home.logs / f"{name}.log"))
    core = Core(home, supervisor, ApiClient(home.ports.web), names, said)
    core.wait(lambda: core.client.call("GET", "/api/health"), "the API does not answer")
    login = next(
        json.loads(line)["first_login"] for line in printed.splitlines() if line.startswith("{")
    )
    core.client.sign_in(login["username"], login["password"])
    return core


def chances(seed: int) -> random.Random:
    """Give the seeded source of all moments of a run."""
    return random.Random(seed)
