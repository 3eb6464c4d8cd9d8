"""One line of health for every part of a demonstration."""

import json
import socket
from dataclasses import dataclass
from typing import Any, Final

from linli.up.client import ApiClient, ApiError
from linli.up.clock import now_ms
from linli.up.home import LOOPBACK
from linli.up.parts import Community
from linli.up.processes import Part

STATUS_AGE_MS: Final = 15_000
CAUGHT_UP: Final = 500
"""So many unsent messages are a second's burst at a start; more is a backlog."""


@dataclass(frozen=True, slots=True)
class Health:
    """How one part is doing; `state` is `ok`, `starting` or `down`."""

    part: str
    state: str
    detail: str


def listens(port: int) -> bool:
    """Tell whether something accepts connections on this port of loopback."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def community_health(community: Community, client: ApiClient) -> list[Health]:
    """Ask every part how it does; never raises."""
    cloud = _cloud_health(client)
    rows = []
    for part in community.supervisor.parts:
        if part.pid is None:
            rows.append(Health(part.name, "down", f"not running; see {part.log}"))
        elif part.name == "broker":
            state = "ok" if listens(community.home.ports.broker) else "starting"
            rows.append(
                _row(
                    part,
                    state,
                    f"{community.broker.name} on {LOOPBACK}:{community.home.ports.broker}",
                )
            )
        elif part.name == "cloud":
            detail = f"http://{LOOPBACK}:{client.port}" if cloud is not None else "starting"
            rows.append(_row(part, "ok" if cloud is not None else "starting", detail))
        elif part.name == "ingest":
            rows.append(_ingest_row(part, cloud))
        elif part.name == "simulator":
            rows.append(_simulator_row(part, community))
        else:
            rows.append(_edge_row(part, community))
    return rows


def _row(part: Part, state: str, detail: str) -> Health:
    again = f", started again {part.restarts}×" if part.restarts else ""
    return Health(part.name, state, f"{detail}{again}")


def _cloud_health(client: ApiClient) -> dict[str, Any] | None:
    try:
        answer = client.call("GET", "/api/health")
    except ApiError:
        return None
    return answer if isinstance(answer, dict) else None


def _ingest_row(part: Part, cloud: dict[str, Any] | None) -> Health:
    ingest = (cloud or {}).get("ingest") or {}
    if not ingest.get("alive"):
        return _row(part, "starting", "waiting for its first heartbeat")
    return _row(part, "ok", "stores and judges what the edge nodes send")


def _simulator_row(part: Part, community: Community) -> Health:
    link = community.simulator
    if link is None or not link.ready.is_set():
        return _row(part, "starting", "building the fleet")
    devices = next(
        (event["devices"] for event in reversed(link.events) if event.get("event") == "ready"), 0
    )
    return _row(part, "ok", f"{devices} simulated devices on their wires")


def _edge_row(part: Part, community: Community) -> Health:
    path = community.home.fleet / "spool" / part.name / "status.json"
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _row(part, "starting", "opening its lines")
    if now_ms() - status["at"] > STATUS_AGE_MS:
        # Left behind by the run before, or the node hangs.
        return _row(part, "starting", "has not told its status yet")
    devices, link = status["devices"], status["link"]
    lanes = ("alarm", "event", "data", "backfill")
    waiting = sum(status["spool"].get(lane, 0) for lane in lanes)
    is_fine = link["is_up"] and devices["live"] == devices["total"] and waiting <= CAUGHT_UP
    uplink = (
        "uplink up"
        if link["is_up"]
        else f"uplink down: {link['last_error'] or 'not yet connected'}"
    )
    detail = f"{devices['live']} of {devices['total']} devices answer, {uplink}"
    if waiting > CAUGHT_UP:
        detail += f", {waiting} to send"
    return _row(part, "ok" if is_fine else "starting", detail)
