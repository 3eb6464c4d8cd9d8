"""Broker, API and ingest worker with feeders instead of a simulator; every part can be killed, every wire cut."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from cloud.kit.clock import SystemClock
from linli.up.broker import prepare
from linli.up.client import ApiClient, ApiError
from linli.up.home import CLOUD_USER, Home, Ports, secret, write_cloud_config
from linli.up.parts import run_once
from linli.up.processes import Part, Supervisor, linli
from tests.mosquitto import free_port
from tests.torture.feeder import Plan, Told
from tests.torture.wire import Wire

ROOT = Path(__file__).parents[2]
EDGES = 40
DAY_MS = 86_400_000


class Core:
    """A running cloud; tests add feeders to it and remove them. A wire lies before the broker for edges and worker."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root, Ports(broker=free_port(), web=free_port(), field=0))
        self.home.logs.mkdir(parents=True)
        self.said: list[str] = []
        self.supervisor = Supervisor(ROOT, self.said.append)
        self.client = ApiClient(self.home.ports.web)
        self.edge_wire = Wire(self.home.ports.broker)
        self.ingest_wire = Wire(self.home.ports.broker)
        self._names = [f"torture-edge-{n}" for n in range(EDGES)]
        self.words = {name: secret(root / "secrets" / name) for name in self._names}
        self._used = 0

    def start(self) -> None:
        """Start broker, API and worker; returns when the API answers."""
        home = self.home
        write_cloud_config(home, ROOT)
        word = secret(home.cloud_config.parent / "secrets" / CLOUD_USER)
        broker = prepare(
            home.broker, "127.0.0.1", home.ports.broker, {CLOUD_USER: word, **self.words}
        )
        config = str(home.cloud_config)
        document = yaml.safe_load(home.cloud_config.read_text())
        document["broker"]["port"] = self.ingest_wire.port
        home.cloud_config.write_text(yaml.safe_dump(document))
        printed = run_once(home, ROOT, "cloud", "migrate", "--config", config, "--json")
        import_site(home, self._names)
        self.begin("broker", broker.argv)
        self.begin("cloud", linli("cloud", "serve", "--config", config))
        self.begin_worker()
        self.wait(lambda: self.client.call("GET", "/api/health"), "the API does not answer")
        login = next(
            json.loads(line)["first_login"] for line in printed.splitlines() if line.startswith("{")
        )
        self.client.sign_in(login["username"], login["password"])

    def begin(self, name: str, argv: Sequence[str]) -> Part:
        """Start one part."""
        return self.supervisor.start(Part(name, argv, self.home.logs / f"{name}.log"))

    def begin_worker(self, *faults: str) -> None:
        """Start the ingest worker: the real command, or one with the faults that `tests.torture.worker` knows."""
        config = str(self.home.cloud_config)
        argv = linli("cloud", "ingest", "--config", config)
        if faults:
            argv = [sys.executable, "-m", "tests.torture.worker", config, *faults]
        self.begin("ingest", argv)

    @contextlib.contextmanager
    def odd_worker(self, *faults: str) -> Iterator[None]:
        """Let a worker with faults do the work for a while."""
        self.remove("ingest")
        self.begin_worker(*faults)
        try:
            yield
        finally:
            self.remove("ingest")
            self.begin_worker()

    def close(self) -> None:
        """Stop everything."""
        self.supervisor.stop()
        self.edge_wire.close()
        self.ingest_wire.close()

    @property
    def next_edge(self) -> str:
        """Give the name of the node that will be added next."""
        return self._names[self._used]

    def add_edge(self, *, disk: Path | None = None, **wishes: Any) -> str:
        """Start one more feeder and give the name of its node.

        Args:
            disk: where its spool lies, if not in its folder.
            wishes: fields of its plan.
        """
        name = self.next_edge
        self._used += 1
        folder = self.folder(name)
        folder.mkdir()
        if disk is not None:
            (folder / "spool").symlink_to(disk)
        # A day ago, so that no reading is ever in the future, however long the run is.
        start = SystemClock().now_ms() - DAY_MS
        given = {"port": self.edge_wire.port, "password": self.words[name], "start": start}
        plan = Plan(edge=name, **(given | wishes))
        (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
        self.begin(name, [sys.executable, "-m", "tests.torture.feeder", str(folder)])
        self.wait((folder / "ready").exists, f"{name} does not start")
        return name

    def remove(self, name: str) -> None:
        """Stop a part for good."""
        part = self.part(name)
        self.supervisor.parts.remove(part)
        if part.process is not None:
            part.process.terminate()
            part.process.wait(20)
        if part.output is not None:
            part.output.close()

    def part(self, name: str) -> Part:
        return next(part for part in self.supervisor.parts if part.name == name)

    def folder(self, edge: str) -> Path:
        return self.home.root / edge

    def plan(self, edge: str) -> Plan:
        return msgspec.json.decode((self.folder(edge) / "plan.json").read_bytes(), type=Plan)

    def kill(self, name: str) -> None:
        """kill -9 and wait until the part runs again."""
        part = self.part(name)
        pid = part.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        # The test kills so often that the supervisor would take the part for a broken one, and be slow.
        part.restarts = 0
        self.wait(lambda: part.pid not in {None, pid}, f"{name} did not come back")

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part that runs."""
        pid = self.wait(lambda: self.part(name).pid, f"{name} does not run")
        os.kill(pid, number)

    def wait(
        self, claim: Callable[[], Any], what: str | Callable[[], str], within_s: float = 120.0
    ) -> Any:
        """Wait until the claim is true and give its value; parts that ended are started again meanwhile."""
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
            time.sleep(0.02)

    def run_for(self, seconds: float) -> None:
        """Let everything work for a while; parts that ended are started again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervisor.watch()
            time.sleep(0.02)

    def logs(self) -> str:
        """Give the last lines of every part."""
        tails = [
            f"── {log.name}\n"
            + "\n".join(line[:300] for line in log.read_text(errors="replace").splitlines()[-8:])
            for log in sorted(self.home.logs.glob("*.log"))
        ]
        return "\n".join([*self.said[-20:], *tails])

    def settle(self, *edges: str, within_s: float = 120.0) -> None:
        """Let feeders stop feeding and wait until everything they delivered is stored and acknowledged."""
        for edge in edges:
            self.wait((self.folder(edge) / "ready").exists, f"{edge} does not start")
            self.signal(edge, signal.SIGUSR1)
        for edge in edges:
            self.wait(
                lambda edge=edge: (told := self.told(edge)) and told.is_quiet and told.waiting == 0,
                lambda edge=edge: f"{edge}: {self.told(edge)}",
                within_s,
            )

    def told(self, edge: str) -> Told | None:
        """Give what a feeder tells; None before it did."""
        file = self.folder(edge) / "told"
        return msgspec.json.decode(file.read_bytes(), type=Told) if file.exists() else None


def import_site(home: Home, names: list[str]) -> None:
    """Make the edge nodes known to the cloud."""
    site = home.root / "site.yaml"
    about = {"id": "torture", "name_zh": "测试", "name_en": "Test", "width_m": 100, "depth_m": 100}
    edges = [{"id": name, "name": name} for name in names]
    document = {"site": about, "places": [], "edges": edges, "devices": []}
    site.write_text(yaml.safe_dump(document, allow_unicode=True))
    run_once(home, ROOT, "cloud", "import-site", str(site), "--config", str(home.cloud_config))


def chances(seed: int) -> random.Random:
    """Give the seeded source of all moments of a run."""
    return random.Random(seed)
