"""The proof behind `linli up --check`: four emergencies on the wires, seen to arrive by API and stream."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from linli.up.client import ApiClient, FeedListener
from linli.up.clock import now_ms
from linli.up.parts import Community, StartError

EMERGENCIES: Final = {
    "fire": "kitchen fire",
    "gas_leak": "gas leak",
    "pressure_loss": "hydrant losing pressure",
    "overflow": "tank overflowing",
}
LIVE_WITHIN_S: Final = 180.0
ALERTS_WITHIN_S: Final = 240.0


class ProofError(RuntimeError):
    """The demonstration did not do what it must; the words say what was missing."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One alert as the event stream brought it; `seen_at` by this process's clock, all times Unix ms."""

    view: dict[str, Any]
    seen_at: int


@dataclass(frozen=True, slots=True)
class HopRow:
    """The delays of one emergency in milliseconds; None where a clock is missing."""

    emergency: str
    device: str
    title: str
    priority: int
    wire_ms: int | None
    link_ms: int | None
    decide_ms: int | None
    stream_ms: int | None
    total_ms: int | None


@dataclass(slots=True)
class Watch:
    """Collects what the stream brings; filled by the listener's thread."""

    arrivals: dict[str, Arrival] = field(default_factory=dict)
    beats: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: str, body: dict[str, Any]) -> None:
        """Note the first time an alert is seen raised."""
        with self.lock:
            if kind == "beat":
                self.beats += 1
            elif kind == "alert" and body.get("condition") == "active":
                self.arrivals.setdefault(body["id"], Arrival(body, now_ms()))

    def snapshot(self) -> list[Arrival]:
        """Give what has arrived so far."""
        with self.lock:
            return list(self.arrivals.values())


def wait_until(
    claim: Callable[[], bool], within_s: float, tick: Callable[[], None], what: Callable[[], str]
) -> None:
    """Wait for a claim to hold, doing `tick` in between.

    Raises:
        ProofError: it did not hold in time; with the words of `what`.
    """
    end = time.monotonic() + within_s
    while not claim():
        if time.monotonic() > end:
            raise ProofError(f"not within {within_s:.0f} s: {what()}")
        tick()
        time.sleep(0.2)


def wait_for_devices(client: ApiClient, expected: int, tick: Callable[[], None]) -> int:
    """Wait until every device is live and give their number."""
    state: dict[str, int] = {}

    def all_live() -> bool:
        overview = client.call("GET", "/api/overview")
        state.update(count_devices(overview))
        return state["live"] >= expected

    wait_until(
        all_live,
        LIVE_WITHIN_S,
        tick,
        lambda: f"{state.get('live', 0)} of {expected} devices are live; see the logs",
    )
    return state["live"]


def count_devices(overview: dict[str, Any]) -> dict[str, int]:
    """Count field devices (gateways and lines are not counted) from the overview: total and live."""
    field_kinds = {"smoke", "gas", "pressure", "level"}
    kinds = [row for kind, row in overview["kinds"].items() if kind in field_kinds]
    return {"total": sum(row["total"] for row in kinds), "live": sum(row["live"] for row in kinds)}


def prove(community: Community, client: ApiClient, tick: Callable[[], None]) -> list[HopRow]:
    """Let the emergencies happen and wait for their alerts.

    Raises:
        ProofError: an alert or a reflex did not come.
    """
    simulator = community.simulator
    if simulator is None:
        raise StartError("the simulator was not started")
    watch = Watch()
    listener = FeedListener(client, watch.take)
    listener.start()
    wait_until(
        lambda: watch.beats > 0, 20, tick, lambda: f"no beat on the event stream {listener.error}"
    )
    simulator.tell(do="scenario", name="four-emergencies")
    started: dict[str, dict[str, Any]] = {}

    def complete() -> bool:
        for event in list(simulator.events):
            if event.get("event") == "sent" and event.get("what") in EMERGENCIES:
                started.setdefault(event["what"], event)
        return set(started) == set(EMERGENCIES) and all(match(e, watch) for e in started.values())

    def missing() -> str:
        silent = [EMERGENCIES[what] for what in EMERGENCIES if what not in started]
        unheard = [
            EMERGENCIES[what] for what, event in started.items() if match(event, watch) is None
        ]
        came = [f"{a.view['rule']} {a.view['device']}" for a in watch.snapshot()]
        return (
            f"not started by the simulator: {silent}; no alert for: {unheard}; "
            f"alerts that came: {came[:20]} {listener.error}"
        )

    try:
        wait_until(complete, ALERTS_WITHIN_S, tick, missing)
        wait_for_reflex(community, started["gas_leak"]["device"], tick)
    finally:
        listener.stop()
    found = [(event, match(event, watch)) for event in started.values()]
    return [hop_row(event, arrival) for event, arrival in found if arrival is not None]


def match(event: dict[str, Any], watch: Watch) -> Arrival | None:
    """Find the alert that answers one emergency: of the same device, raised after it began."""
    rows = [
        arrival
        for arrival in watch.snapshot()
        if arrival.view["device"] == event["device"]
        and (arrival.view["raised_at"] or 0) >= event["at"] - 2_000
    ]
    return min(rows, key=lambda arrival: arrival.view["priority"], default=None)


def wait_for_reflex(community: Community, device: str, tick: Callable[[], None]) -> None:
    """Wait until the edge has closed the leaking place's valve by itself."""
    simulator = community.simulator
    if simulator is None:
        raise StartError("the simulator was not started")
    wait_until(
        lambda: any(
            event.get("event") == "write"
            and event.get("device") == device
            and event.get("metric") == "valve_open"
            for event in list(simulator.events)
        ),
        30,
        tick,
        lambda: f"the edge did not close the valve of {device}",
    )


def hop_row(event: dict[str, Any], arrival: Arrival) -> HopRow:
    """Work out the delays between the clocks an alert carries."""
    view = arrival.view
    polled = event["what"] != "fire"
    wire = None if polled else _gap(event["at"], view["measured_at"])
    return HopRow(
        emergency=EMERGENCIES[event["what"]],
        device=event["device"],
        title=view.get("title_en") or view["rule"],
        priority=view["priority"],
        wire_ms=wire,
        link_ms=_gap(view["measured_at"], view["received_at"]),
        decide_ms=_gap(view["received_at"], view["raised_at"]),
        stream_ms=_gap(view["raised_at"], arrival.seen_at),
        total_ms=_gap(event["at"], arrival.seen_at)
        if not polled
        else _gap(view["measured_at"], arrival.seen_at),
    )


def _gap(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else max(0, end - start)
