"""The main job: from a sensor's bytes to the duty screen, each fact once, whatever dies in between."""

import os
import signal
from typing import Any

import pytest

from tests.flow.stack import Stack

pytestmark = pytest.mark.xdist_group("community")


def devices(stack: Stack, kind: str) -> list[dict[str, Any]]:
    return list(stack.client.call("GET", f"/api/devices?kind={kind}&limit=500")["devices"])


def live(stack: Stack, kind: str) -> list[dict[str, Any]]:
    """Wait until every device of a kind is live."""

    def all_live() -> list[dict[str, Any]]:
        found = devices(stack, kind)
        return found if found and all(device["liveness"] == "live" for device in found) else []

    found: list[dict[str, Any]] = stack.wait(all_live, f"not all {kind} devices are live")
    return found


def raised(stack: Stack, device: str, state: str = "all") -> list[dict[str, Any]]:
    return [alert for alert in stack.alerts(state) if alert["device"] == device]


def active(stack: Stack, device: str) -> list[dict[str, Any]]:
    return [alert for alert in raised(stack, device, "open") if alert["condition"] == "active"]


def kill(stack: Stack, name: str) -> None:
    part = stack.part(name)
    pid = part.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    stack.wait(lambda: part.pid not in {None, pid}, f"{name} did not come back")


def restore(stack: Stack, device: str) -> None:
    """Let the device return to normal and close everything as a test, so that the next one begins clean."""
    stack.simulator.tell(do="restore", device=device)

    def closed() -> bool:
        for alert in stack.alerts("open"):
            stack.client.call(
                "POST",
                f"/api/alerts/{alert['id']}/close",
                {"verdict": "test", "note": "end of test"},
            )
        return not stack.alerts("open")

    stack.wait(closed, "an alert cannot be closed")


def test_every_device_of_every_wire_is_live(stack: Stack) -> None:
    for kind in ("smoke", "gas", "pressure", "level"):
        assert live(stack, kind)
    assert stack.client.call("GET", "/api/ingest/rejections")["rejections"] == []


def test_a_fire_reaches_the_stream_once_with_its_clocks_in_order(stack: Stack) -> None:
    device = live(stack, "smoke")[0]["id"]
    seen, listener = stack.follow()
    stack.simulator.tell(do="fire", device=device)

    def on_stream() -> list[dict[str, Any]]:
        return [
            b
            for kind, b in seen
            if kind == "alert" and b["device"] == device and b["condition"] == "active"
        ]

    view = stack.wait(on_stream, "the fire is not on the stream")[0]
    sent = stack.wait(
        lambda: [e for e in stack.simulator.events if e.get("what") == "fire"], "nothing was sent"
    )
    listener.stop()
    assert view["priority"] == 1
    assert sent[-1]["at"] - 1 <= view["measured_at"] <= view["received_at"] <= view["raised_at"]
    assert len(raised(stack, device)) == 1
    taken = stack.client.call("POST", f"/api/alerts/{view['id']}/acknowledge", {})
    assert taken["handling"] == "acknowledged"
    restore(stack, device)


def test_an_alarm_during_a_dead_and_wiped_broker_arrives_once(stack: Stack) -> None:
    device = live(stack, "smoke")[1]["id"]
    broker = stack.part("broker")
    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    stack.simulator.tell(do="fire", device=device)
    stack.wait(lambda: broker.pid not in {None, pid}, "the broker did not come back")
    stack.wait(lambda: active(stack, device), "the alarm was lost with the broker")
    assert [alert["count"] for alert in raised(stack, device)] == [1]
    restore(stack, device)


@pytest.mark.parametrize("victim", ["ingest", "cloud", "edge"])
def test_an_alarm_survives_kill_9_of(stack: Stack, victim: str) -> None:
    number = {"ingest": 2, "cloud": 3, "edge": 4}[victim]
    device = live(stack, "smoke")[number]["id"]
    name = stack.edges()[0].name if victim == "edge" else victim
    stack.simulator.tell(do="fire", device=device)
    kill(stack, name)
    stack.wait(lambda: active(stack, device), f"the alarm was lost with {victim}")
    assert len(raised(stack, device)) == 1
    restore(stack, device)


def test_gas_closes_its_valve_with_the_cloud_unreachable(stack: Stack) -> None:
    device = live(stack, "gas")[0]["id"]
    broker = stack.part("broker")
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    try:
        stack.simulator.tell(do="gas_leak", device=device)

        def written() -> set[str]:
            writes = [
                e
                for e in stack.simulator.events
                if e.get("event") == "write" and e.get("device") == device
            ]
            return {f"{event['metric']}={event['value']:g}" for event in writes}

        stack.wait(
            lambda: {"valve_open=0", "sounder_on=1"} <= written(), "the edge did not act alone"
        )
    finally:
        broker.process.send_signal(signal.SIGCONT)
    stack.wait(lambda: active(stack, device), "the gas alert did not arrive after the outage")
    assert min(alert["priority"] for alert in active(stack, device)) == 1
    restore(stack, device)


def test_a_silent_unit_goes_down_once_and_its_neighbours_stay_live(stack: Stack) -> None:
    found = live(stack, "gas")
    device = found[1]["id"]
    stack.simulator.tell(do="silence", device=device)
    stack.wait(
        lambda: [d for d in devices(stack, "gas") if d["id"] == device and d["liveness"] != "live"],
        "the silent unit still looks live",
    )
    assert all(d["liveness"] == "live" for d in devices(stack, "gas") if d["id"] != device)
    stack.simulator.tell(do="restore", device=device)
    live(stack, "gas")
