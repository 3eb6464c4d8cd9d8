"""The whole service under load: fire frames on a wire to an event stream, and a rate held while people ask the API.

A real edge node listens for a transmission device (GB/T 26875.3 over TCP); this process is that device and the screen,
so one clock tells both ends of the delay. References of the same run: the same service without load; a bare round
trip through the same broker.
"""

import http.client
import itertools
import json
import queue
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ingest_load import Inflow, connect, publish
from benchmarks.stand import (
    EDGES,
    ROOT,
    CloudFiles,
    Load,
    await_port,
    await_worker,
    broker,
    cloud,
    cpu_s,
    free_port,
    percentile,
    prepare_cloud,
    row,
    running,
)
from firmware_sim.uitd import frames
from firmware_sim.uitd.frames import Command, ComponentKey, Frame
from linli.up.client import ApiClient, FeedListener

DETECTORS = 400
ADDRESS = 1001
PAUSE_S = 0.12
WAIT_S = 15.0
RATE = 200_000
_EDGE = """
edge: {{id: bench-node, name: bench}}
uplink: {{host: 127.0.0.1, port: {port}, username: bench-node, password_file: password}}
spool: {{path: spool/spool.db}}
models: {models}
drivers:
  - id: bench-listener
    kind: gb26875
    listen: {{host: 127.0.0.1, port: {listen}}}
    heartbeat_s: 30
    units:
      - {{id: bench-uitd, address: {address}, components: [{components}]}}
"""


def _component(number: int) -> str:
    # Each in a building of its own: two fires in one would become one confirmed fire.
    return (
        f"{{id: bench-smoke-{number:03}, system: 1, system_address: 1, zone: {number // 200 + 1},"
        f" point: {number % 200 + 1}, type: 40, place: b{number + 100:03}}}"
    )


class Panel:
    """A transmission device on one TCP connection; answers of the centre are read and forgotten."""

    def __init__(self, port: int) -> None:
        self._link = socket.create_connection(("127.0.0.1", port))
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._serials = itertools.count(1)
        threading.Thread(target=self._drain, name="panel", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def _drain(self) -> None:
        with suppress(OSError):
            while self._link.recv(65_536):
                pass

    def _beat(self) -> None:
        with suppress(OSError):
            while True:
                self._send(Frame(next(self._serials), ADDRESS, 0, Command.SEND))
                time.sleep(10)

    def _send(self, frame: Frame) -> float:
        began = time.perf_counter()
        self._link.sendall(frame.pack())
        return began

    def fire(self, number: int) -> float:
        """Send the fire of one detector; gives when its first byte went."""
        at = frames.time_bytes(time.time_ns() // 1_000_000)
        key = ComponentKey(1, 1, number // 200 + 1, number % 200 + 1)
        app = frames.app_unit(2, [frames.component_state(key, 40, 0x0003, "", at)])
        return self._send(Frame(next(self._serials), ADDRESS, 0, Command.SEND, app, at))

    def close(self) -> None:
        """Hang up."""
        self._link.close()


class Screen:
    """A follower of the event stream that notes when each device's alert first came."""

    def __init__(self, client: ApiClient) -> None:
        self._seen: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._known: dict[str, float] = {}
        self.is_open = threading.Event()
        FeedListener(client, self._take).start()

    def _take(self, kind: str, body: dict[str, Any]) -> None:
        at = time.perf_counter()
        self.is_open.set()
        if kind == "alert" and body.get("condition") == "active":
            self._seen.put((body["device"], at))

    def await_alert(self, device: str) -> float:
        """Give when the alert of a device came.

        Raises:
            queue.Empty: not within 15 s.
        """
        while device not in self._known:
            name, at = self._seen.get(timeout=WAIT_S)
            self._known.setdefault(name, at)
        return self._known[device]


class Service:
    """Everything running, a panel and a screen connected."""

    def __init__(self, folder: Path, port: int, files: CloudFiles, worker: psutil.Process) -> None:
        self.folder, self.port, self.files, self.worker = folder, port, files, worker
        self.client = ApiClient(files.web)
        self.client.sign_in(files.username, files.password)
        self.screen = Screen(self.client)
        self.screen.is_open.wait(30)
        self._next = itertools.count()

    def fires(self, panel: Panel, count: int) -> tuple[list[float], int]:
        """Let detectors report fire one after the other; gives milliseconds to the screen, and how many never came."""
        samples: list[float] = []
        lost = 0
        for number in itertools.islice(self._next, count):
            began = panel.fire(number)
            try:
                came = self.screen.await_alert(f"bench-smoke-{number:03}")
            except queue.Empty:
                lost += 1
                continue
            samples.append((came - began) * 1e3)
            time.sleep(PAUSE_S)
        return samples, lost

    def await_devices(self) -> None:
        """Wait until the node's birth is taken."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.client.call("GET", "/api/devices?kind=smoke&limit=1")["devices"]:
                return
            time.sleep(0.2)
        raise TimeoutError("the edge node is not born")


@contextmanager
def _service() -> Iterator[tuple[Service, Panel]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, _ = stack.enter_context(broker(folder))
        files = prepare_cloud(folder, port)
        worker = stack.enter_context(running(cloud(files, "ingest"), folder / "ingest.log"))
        stack.enter_context(running(cloud(files, "serve"), folder / "serve.log"))
        listen, node = free_port(), folder / "edge.yaml"
        text = _EDGE.format(
            port=port, listen=listen, address=ADDRESS, models=ROOT / "config" / "devices",
            components=", ".join(map(_component, range(DETECTORS))),
        )  # fmt: skip
        node.write_text(text, encoding="utf-8")
        edge = [sys.executable, "-m", "edge", "run", "--config", str(node)]
        stack.enter_context(running(edge, folder / "edge.log"))
        await_worker(folder)
        await_port(files.web)
        await_port(listen)
        service = Service(folder, port, files, worker)
        panel = Panel(listen)
        stack.callback(panel.close)
        service.await_devices()
        yield service, panel


class Askers:
    """People at the API: one request after the other, each path timed, until told to stop."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._stop = threading.Event()
        self.samples: dict[str, list[float]] = {}
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self._thread.start()

    def _paths(self, turn: int) -> dict[str, str]:
        now = time.time_ns() // 1_000_000
        device = f"bench-edge-{turn % EDGES + 1}-{turn % 20}"
        series = f"/api/devices/{device}/series?metric=gas_lel_pct&points=500&end={now}"
        return {
            "overview": "/api/overview",
            "alerts": "/api/alerts?state=open&limit=50",
            "device": f"/api/devices/{device}",
            "24 h chart": f"{series}&start={now - 86_400_000}",
            "90 d chart": f"{series}&start={now - 90 * 86_400_000}",
        }

    def _run(self) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self._client.port, timeout=15)
        for turn in itertools.count():
            for name, path in self._paths(turn).items():
                if self._stop.wait(0.05):
                    return
                began = time.perf_counter()
                link.request("GET", path, headers={"Cookie": self._client.cookie})
                answer = link.getresponse()
                answer.read()
                self.failures += answer.status != 200
                self.samples.setdefault(name, []).append((time.perf_counter() - began) * 1e3)

    def stop(self) -> None:
        """Let the last answer come."""
        self._stop.set()
        self._thread.join(20)


def _broker_trip(port: int, count: int) -> list[float]:
    """Measure one hop through the broker and back, the least any alert can take, in ms."""
    link, inflow = connect(port, "bench-trip", ["bench/trip"]), Inflow()
    link.settimeout(10)
    time.sleep(0.3)
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        link.sendall(publish("bench/trip", b"x" * 200))
        while not inflow.feed(link.recv(65_536)):
            pass
        samples.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.01)
    link.close()
    return samples


def _latency(what: str, samples: list[float], lost: int, reference: str) -> list[dict[str, Any]]:
    is_judged = "half" in what
    return [
        row(f"device byte to screen, {what}, p50", percentile(samples, 0.5), "ms",
            50 if is_judged else None, reference, at_most=True),
        row(f"device byte to screen, {what}, p99", percentile(samples, 0.99), "ms",
            250 if is_judged else None, f"{len(samples)} fires", at_most=True),
        row(f"fires that never came, {what}", lost, "", 0, "", at_most=True),
    ]  # fmt: skip


def _held(service: Service, panel: Panel, seconds: float, fires: int) -> list[dict[str, Any]]:
    """Hold the full rate with everything going on, and ask meanwhile."""
    load = Load(service.port, 20, seconds, RATE / 20)
    used, began = cpu_s(service.worker), time.monotonic()
    used_all = cpu_s(service.worker, with_children=True)
    askers = Askers(service.client)
    samples, lost = service.fires(panel, fires)
    told = load.result()
    askers.stop()
    took = time.monotonic() - began
    worker = (cpu_s(service.worker) - used) / took
    compactor = (cpu_s(service.worker, with_children=True) - used_all) / took - worker
    every = list(itertools.chain(*askers.samples.values()))
    what = f"held {seconds:.0f} s"
    lines = [
        row(f"rate, {what}, compaction and questions beside", told["acked"] / told["seconds"],
            "readings/s", RATE * 0.99, f"{RATE:,} asked for"),
        row(f"not acknowledged, {what}", told["sent"] - told["acked"], "readings", 0, "", at_most=True),
        row(f"sent again, {what}", told["resent"], "messages"),
        row(f"ingest worker, {what}", worker, "cores", None, f"compactor {compactor:.2f}"),
        row(f"API p99, {what}", percentile(every, 0.99), "ms", 100, f"{len(every)} questions", at_most=True),
        row(f"API failures, {what}", askers.failures, "", 0, "", at_most=True),
    ]  # fmt: skip
    for name, times in askers.samples.items():
        p99 = f"p99 {percentile(times, 0.99):.0f} ms"
        lines.append(row(f"API {name}, {what}, p50", percentile(times, 0.5), "ms", None, p99))
    return lines + _latency("at the full load", samples, lost, "")


def run(quick: bool, seconds: float = 300.0) -> list[dict[str, Any]]:  # noqa: FBT001 - the signature that all benchmarks have
    """Measure; `seconds` is how long the full rate is held, `quick` makes it 20."""
    count = 40 if quick else 120
    with _service() as (service, panel):
        trip = _broker_trip(service.port, count)
        idle, idle_lost = service.fires(panel, count // 2)
        load = Load(service.port, 20, count * (PAUSE_S + 0.1) + 3, RATE / 40)
        loaded, loaded_lost = service.fires(panel, count)
        load.result()
        beside = f"idle {percentile(idle, 0.5):.0f} ms; broker alone {percentile(trip, 0.5):.1f} ms"
        return [
            *_latency("no load", idle, idle_lost, ""),
            *_latency("half the load (100,000/s)", loaded, loaded_lost, beside),
            *_held(service, panel, 20.0 if quick else seconds, count),
        ]


if __name__ == "__main__":
    for line in run(quick=True, seconds=float(sys.argv[1]) if len(sys.argv) > 1 else 20.0):
        print(json.dumps(line, ensure_ascii=False))
