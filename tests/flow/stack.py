"""A whole small community as processes of its own, for tests: broker, API, ingest worker, edge node, simulator."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linli.up.client import ApiClient, ApiError, FeedListener
from linli.up.health import listens
from linli.up.home import Home, choose_ports
from linli.up.parts import (
    Community,
    SimulatorLink,
    prepare_community,
    prepare_database,
    start_community,
)
from linli.up.processes import Part

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0


@dataclass(slots=True)
class Stack:
    """A running community and a signed-in client of its API."""

    community: Community
    client: ApiClient
    said: list[str] = field(default_factory=list)

    @property
    def simulator(self) -> SimulatorLink:
        assert self.community.simulator is not None
        return self.community.simulator

    def part(self, name: str) -> Part:
        return next(part for part in self.community.supervisor.parts if part.name == name)

    def edges(self) -> list[Part]:
        core = {"broker", "cloud", "ingest", "simulator"}
        return [part for part in self.community.supervisor.parts if part.name not in core]

    def wait(self, claim: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
        """Wait until the claim gives something true; parts that ended are started again meanwhile."""
        end = time.monotonic() + within_s
        while True:
            self.community.supervisor.watch()
            try:
                value = claim()
            except ApiError as error:
                value, what = None, f"{what} ({error})"
            if value:
                return value
            assert time.monotonic() < end, f"{what}\n{self.logs()}"
            time.sleep(0.05)

    def alerts(self, state: str = "all") -> list[dict[str, Any]]:
        return list(
            self.client.call("GET", f"/api/alerts?state={state}&limit=500&suppressed=true")[
                "alerts"
            ]
        )

    def logs(self) -> str:
        texts = []
        for log in sorted(self.community.home.logs.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-12:]
            texts.append(f"── {log.name}\n" + "\n".join(line[:400] for line in tail))
        return "\n".join([*self.said[-10:], *texts])

    def follow(self) -> tuple[list[tuple[str, dict[str, Any]]], FeedListener]:
        """Open the event stream; gives the growing list of (event, body)."""
        seen: list[tuple[str, dict[str, Any]]] = []
        listener = FeedListener(self.client, lambda kind, body: seen.append((kind, body)))
        listener.start()
        self.wait(lambda: seen, "no beat on the event stream", 30)
        return seen, listener

    def stop(self) -> list[str]:
        self.simulator.closed.set()
        return self.community.supervisor.stop()


def start(root: Path, *, scale: str = "small", embedded_broker: bool = False) -> Stack:
    """Prepare and start everything in `root`; returns once the API answers a signed-in request."""
    home = Home(root, choose_ports(0))
    broker = prepare_community(home, ROOT, scale, embedded_broker=embedded_broker)
    login = prepare_database(home, ROOT)
    assert login is not None
    said: list[str] = []
    community = start_community(home, ROOT, broker, said.append)
    stack = Stack(community, ApiClient(home.ports.web), said)
    stack.wait(lambda: listens(home.ports.web), "the API does not listen")
    stack.wait(lambda: stack.client.call("GET", "/api/health"), "the API is not healthy")
    stack.client.sign_in(login.username, login.password)
    return stack
