"""The demonstration as a list of parts: what is started, in which order, with which files."""

import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linli.up.broker import BrokerCommand, prepare
from linli.up.home import CLOUD_USER, Home, secret, write_cloud_config
from linli.up.processes import Part, Supervisor, linli


class StartError(RuntimeError):
    """The demonstration cannot start: show the words, which say what to do."""


@dataclass(slots=True)
class FirstLogin:
    """The administrator made at the first start; printed once."""

    username: str
    password: str = field(repr=False)


@dataclass(slots=True)
class Community:
    """A running demonstration."""

    home: Home
    supervisor: Supervisor
    broker: BrokerCommand
    login: FirstLogin | None = None
    simulator: "SimulatorLink | None" = None


@dataclass(slots=True)
class SimulatorLink:
    """The simulator's control lines: commands in, events out."""

    part: Part
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=10_000))
    ready: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """Read the simulator's events in a thread, also after it was started again."""
        threading.Thread(target=self._read, name="simulator", daemon=True).start()

    def _read(self) -> None:
        seen = None
        while not self.closed.wait(0.1):
            process = self.part.process
            if process is None or process is seen or process.stdout is None:
                continue
            seen = process
            for line in process.stdout:
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        self.events.append(event)
        if event.get("event") == "ready":
            self.ready.set()

    def tell(self, **command: Any) -> None:  # noqa: ANN401 - a JSON object
        """Give the simulator one command."""
        process = self.part.process
        if process is None or process.stdin is None:
            raise StartError("the simulator is not running; see its log")
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()


def run_once(home: Home, cwd: Path, *arguments: str, is_secret: bool = False) -> str:
    """Run one `linli …` command to its end and give what it printed, which goes into the log unless it is secret.

    Raises:
        StartError: it failed; with its last lines.
    """
    done = subprocess.run(
        linli(*arguments), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    with (home.logs / "setup.log").open("a", encoding="utf-8") as log:
        shown = "" if is_secret else done.stdout
        log.write(f"$ linli {' '.join(arguments)}\n{shown}{done.stderr}\n")
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise StartError(f"`linli {' '.join(arguments[:2])}` failed:\n{tail}")
    return done.stdout


def prepare_community(
    home: Home,
    cwd: Path,
    scale: str,
    *,
    embedded_broker: bool = False,
    mosquitto: str | None = None,
) -> BrokerCommand:
    """Write everything the parts need: fleet, secrets, broker files and the cloud's configuration.

    `embedded_broker` and `mosquitto` are those of `linli.up.broker.prepare`.
    """
    home.logs.mkdir(parents=True, exist_ok=True)
    run_once(
        home, cwd, "sim", "fleet", "--out", str(home.fleet), "--scale", scale,
        "--broker-host", home.network.broker_host, "--broker-port", str(home.ports.broker),
        "--base-port", str(home.ports.field), "--models", str((cwd / "config" / "devices").resolve()),
        "--serial" if home.network.serial_lines else "--no-serial",
    )  # fmt: skip
    write_cloud_config(home, cwd)
    passwords = {CLOUD_USER: secret(home.cloud_config.parent / "secrets" / CLOUD_USER)}
    for config in home.edges():
        edge = home.edge_id(config)
        passwords[edge] = secret(home.fleet / "secrets" / edge)
    return prepare(
        home.broker,
        home.network.broker_bind,
        home.ports.broker,
        passwords,
        embedded=embedded_broker,
        mosquitto=mosquitto,
    )


def prepare_database(home: Home, cwd: Path) -> FirstLogin | None:
    """Bring the database up to date and the site's places into it; gives the first login when it was made now."""
    config = str(home.cloud_config)
    printed = run_once(home, cwd, "cloud", "migrate", "--config", config, "--json", is_secret=True)
    site = str(home.fleet / "site.yaml")
    run_once(home, cwd, "cloud", "import-site", site, "--config", config)
    for line in printed.splitlines():
        if line.startswith("{"):
            made = json.loads(line).get("first_login")
            if made:
                return FirstLogin(made["username"], made["password"])
    return None


def start_community(
    home: Home, cwd: Path, broker: BrokerCommand, say: Callable[[str], None]
) -> Community:
    """Start broker, cloud, ingest worker, simulator and edge nodes, in the order in which they need each other."""
    supervisor = Supervisor(cwd, say)
    community = Community(home, supervisor, broker)
    try:
        _start_parts(community)
    except BaseException:
        # Ctrl-C in the middle of the start: half a community must not stay behind.
        supervisor.stop()
        raise
    return community


def _start_parts(community: Community) -> None:
    home, supervisor, broker = community.home, community.supervisor, community.broker
    cloud = str(home.cloud_config)
    supervisor.start(Part("broker", broker.argv, home.logs / "broker.log"))
    supervisor.start(
        Part("cloud", linli("cloud", "serve", "--config", cloud), home.logs / "cloud.log")
    )
    supervisor.start(
        Part("ingest", linli("cloud", "ingest", "--config", cloud), home.logs / "ingest.log")
    )
    simulator = supervisor.start(
        Part(
            "simulator",
            linli("sim", "run", str(home.fleet), "--control"),
            home.logs / "simulator.log",
            pipes=True,
        )
    )
    community.simulator = SimulatorLink(simulator)
    community.simulator.listen()
    for config in home.edges():
        edge = home.edge_id(config)
        supervisor.start(
            Part(edge, linli("edge", "run", "--config", str(config)), home.logs / f"{edge}.log")
        )
