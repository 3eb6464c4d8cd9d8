"""The folder of one demonstration: secrets, configurations, stores, logs. What is missing is made anew."""

import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

CLOUD_USER: Final = "linli-cloud"
LOOPBACK: Final = "127.0.0.1"
NEEDED_MB: Final = 300
_ELSEWHERE: Final = "choose another folder with --home"


class HomeError(RuntimeError):
    """The folder cannot be used: show the words, which say what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts listen, all on loopback; `field` is the first of a run of free ports for lines and listeners."""

    broker: int
    web: int
    field: int


@dataclass(frozen=True, slots=True)
class Network:
    """Who listens where and is found where; all on loopback unless the parts live in containers."""

    broker_host: str = LOOPBACK
    broker_bind: str = LOOPBACK
    web_bind: str = LOOPBACK
    serial_lines: bool = True


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one demonstration."""

    root: Path
    ports: Ports
    network: Network = Network()

    @property
    def fleet(self) -> Path:
        """Where the simulator's and the edge nodes' configurations stand."""
        return self.root / "fleet"

    @property
    def logs(self) -> Path:
        """Where every part writes its log."""
        return self.root / "logs"

    @property
    def cloud_config(self) -> Path:
        """The cloud's configuration."""
        return self.root / "cloud" / "cloud.yaml"

    @property
    def broker(self) -> Path:
        """Where the broker's configuration stands."""
        return self.root / "broker"

    def edges(self) -> list[Path]:
        """Give the configurations of all edge nodes."""
        return sorted(self.fleet.glob("edge-*.yaml"))

    def edge_id(self, config: Path) -> str:
        """Read the id of the node from its configuration."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        with config.open(encoding="utf-8") as text:
            return str(yaml.load(text, Loader=loader)["edge"]["id"])  # noqa: S506 - a safe loader, in C where built


@contextmanager
def claimed(root: Path, web_port: int) -> Iterator[None]:
    """Make the folder this launcher's own until the end of the block; also after kill -9 it is free again.

    Raises:
        HomeError: another launcher has it, it cannot be written, or its disk is nearly full.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / "in-use").open("a+", encoding="utf-8")
    except OSError as error:
        raise HomeError(f"cannot write {root}: {error.strerror}; {_ELSEWHERE}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise HomeError(f"{root} is in use by {holder}; stop it, or {_ELSEWHERE}") from None
        free_mb = shutil.disk_usage(root).free // 1_000_000
        if free_mb < NEEDED_MB:
            raise HomeError(
                f"only {free_mb} MB are free on the disk of {root}, {NEEDED_MB} MB are needed; "
                f"make room, or {_ELSEWHERE}"
            )
        lock.truncate(0)
        lock.write(f"`linli up`, process {os.getpid()}, http://{LOOPBACK}:{web_port}")
        lock.flush()
        yield


def choose_ports(web: int, field_ports: int = 120) -> Ports:
    """Find free ports: the wanted one for the web if it is free, else the next free one; 0 is any."""
    return Ports(broker=_free_port(), web=_first_free(web), field=_free_run(field_ports))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _first_free(wanted: int) -> int:
    if wanted == 0:
        return _free_port()
    for port in range(wanted, wanted + 50):
        if _is_free(port):
            return port
    return _free_port()


def _free_run(length: int) -> int:
    """Find `length` free ports in a row, below the range from which the system lends ports to clients.

    The search begins anywhere, so that two demonstrations started at once do not race for the same ports.
    """
    starts = list(range(20_000, 32_000, length))
    first = secrets.randbelow(len(starts))
    for start in starts[first:] + starts[:first]:
        if all(_is_free(start + offset) for offset in range(length)):
            return start
    raise RuntimeError(
        f"no {length} free ports in a row between 20000 and 32000 on {LOOPBACK}; stop what uses them"
    )


def secret(path: Path) -> str:
    """Read a password file, made with a new random password on first use; only its owner may read it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def write_cloud_config(home: Home, project: Path) -> None:
    """Write the cloud's configuration for this demonstration."""
    folder = home.cloud_config.parent
    folder.mkdir(parents=True, exist_ok=True)
    secret(folder / "secrets" / CLOUD_USER)
    document = {
        "database": {"url": f"sqlite:///{(folder / 'app.db').resolve()}"},
        "series": {"kind": "local", "path": str((folder / "series").resolve())},
        "broker": {
            "host": home.network.broker_host,
            "port": home.ports.broker,
            "username": CLOUD_USER,
            "password_file": str((folder / "secrets" / CLOUD_USER).resolve()),
            "plain_text": home.network.broker_host != LOOPBACK,
        },
        "web": {
            "host": home.network.web_bind,
            "port": home.ports.web,
            "dist": str((project / "dashboards" / "dist").resolve()),
        },
        "rules": str((project / "config" / "rules").resolve()),
    }
    text = "# Written by `linli up`; the settings are described in config/cloud.example.yaml.\n"
    home.cloud_config.write_text(text + yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
