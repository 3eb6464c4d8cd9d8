"""What an edge node costs: CPU a reading from the driver's hand to the cloud's receipt, spool and replay rate.

The node is a process of its own with its real spool and uplink and a real broker; this process acknowledges as the
cloud does. Reference of the same run: encoding the same readings and nothing else.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.ingest_load import Inflow, connect, publish
from benchmarks.stand import ROOT, broker, row
from contract.codec import decode_data, encode, model_hash
from contract.messages import Ack, Birth, DataBatch, DeviceBirth, Lane, MetricBirth
from contract.topics import Channel, topic
from edge.broker_link import BrokerAddress
from edge.clock import SystemClock
from edge.settings import UplinkSettings
from edge.spool import Spool
from edge.spool_readings import BATCH_LIMIT
from edge.uplink import Uplink, UplinkOptions

NODE = "bench-spool"
SERIES = 240
LIVE_PER_S = 42.0
"""What one of the four nodes of the demonstration community delivers."""
LANES = {Channel.DATA: Lane.DATA, Channel.BACKFILL: Lane.BACKFILL}
Row = tuple[int, int, float | None, int]


class Cloud:
    """Acknowledges whatever comes, at once."""

    def __init__(self, port: int) -> None:
        self._link = connect(port, "bench-cloud", [topic(NODE, channel) for channel in LANES])
        self.readings = 0
        self._lanes = {topic(NODE, channel): lane for channel, lane in LANES.items()}
        threading.Thread(target=self._run, name="cloud", daemon=True).start()

    def _run(self) -> None:
        inflow, where = Inflow(), topic(NODE, Channel.ACK)
        with suppress(OSError):
            while data := self._link.recv(1 << 18):
                for name, payload in inflow.feed(data):
                    batch = decode_data(payload)
                    self.readings += len(batch.readings)
                    ack = encode(Ack(batch.epoch, self._lanes[name], batch.seq))
                    self._link.sendall(publish(where, ack))

    def close(self) -> None:
        """Hang up."""
        self._link.close()


def _rows(count: int, at: int) -> list[Row]:
    return [(n % SERIES, at + n // SERIES, 20 + n % 7 / 10, 0) for n in range(count)]


def _birth() -> Birth:
    devices = [
        DeviceBirth(id=f"{NODE}-{n}", kind="pressure", model="m", name="") for n in range(SERIES)
    ]
    metrics = [
        MetricBirth(alias=n, device=device.id, metric="pressure_kpa")
        for n, device in enumerate(devices)
    ]
    return Birth(
        epoch=1, boot=1, at=1, software="bench", model=model_hash(devices, metrics),
        devices=devices, metrics=metrics,
    )  # fmt: skip


class Node:
    """Spool and uplink as an edge node has them."""

    def __init__(self, folder: Path, port: int) -> None:
        self._clock = SystemClock()
        self.spool = Spool(folder / "spool.db", limit_mb=512, clock=self._clock)
        address = BrokerAddress("127.0.0.1", port, NODE, NODE, "x")
        self.uplink = Uplink(
            UplinkOptions(address, NODE, 1, backfill_per_s=100_000),
            spool=self.spool, birth=_birth, inbox=asyncio.Queue(100), clock=self._clock,
            jitter=lambda: 0.5,
        )  # fmt: skip

    async def spooling(self, count: int) -> dict[str, float]:
        """Keep readings with the link down, 100 a time."""
        await self.spool.use_model(_birth())
        rows, began, cpu = _rows(count, self._clock.now_ms()), time.monotonic(), time.process_time()
        parts = [rows[at : at + 100] for at in range(0, count, 100)]
        for at in range(0, len(parts), 50):
            async with asyncio.TaskGroup() as tasks:
                for part in parts[at : at + 50]:
                    tasks.create_task(self.spool.append([], part), name="append")
        used = (await self.spool.depth()).bytes_used
        return _told(count, began, cpu) | {"bytes": used / count}

    async def replaying(self, count: int) -> dict[str, float]:
        """Deliver what was kept."""
        began, cpu = time.monotonic(), time.process_time()
        await self._until_empty()
        return _told(count, began, cpu)

    async def living(self, count: int) -> dict[str, float]:
        """Deliver readings as they come: twenty lines, each 20 readings a time."""
        began, cpu = time.monotonic(), time.process_time()

        async def line(number: int) -> None:
            for _ in range(count // 400):
                await self.spool.append([], _rows(20, self._clock.now_ms() + number))

        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(line(number), name=f"line[{number}]")
        await self._until_empty()
        return _told(count // 400 * 400, began, cpu)

    async def _until_empty(self) -> None:
        async with asyncio.timeout(120):
            while True:
                depth = await self.spool.depth()
                if not (
                    depth.data or depth.backfill or depth.live_readings or depth.backlog_readings
                ):
                    return
                await asyncio.sleep(0.02)


def _told(count: int, began: float, cpu: float) -> dict[str, float]:
    used = (time.process_time() - cpu) / count * 1e6
    return {"rate": count / (time.monotonic() - began), "cpu_us": used}


async def _node(folder: Path, port: int, count: int) -> None:
    node = Node(folder, port)
    told = {"spool": await node.spooling(count)}
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(node.uplink.run(), name="uplink")
        told["replay"] = await node.replaying(count)
        told["live"] = await node.living(count // 2)
        running.cancel()
    node.spool.close()
    sys.stdout.write(json.dumps(told) + "\n")


def _encoding(count: int) -> float:
    rows = [(n, 0, 20.5, 0) for n in range(20)]
    began = time.process_time()
    for seq in range(count // 20):
        encode(DataBatch(1, seq + 1, 1, 7, rows))  # type: ignore[arg-type]  # whole rows, no None
    return (time.process_time() - began) / count * 1e6


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - the signature that all benchmarks have
    """Measure; `quick` takes 20,000 readings instead of 100,000."""
    count = 20_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as (port, _):
        cloud = Cloud(port)
        child = [sys.executable, "-m", "benchmarks.edge", name, str(port), str(count)]
        done = subprocess.run(child, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        cloud.close()
        told = json.loads(done.stdout.splitlines()[-1])
    spool, replay, live = told["spool"], told["replay"], told["live"]
    paced = UplinkSettings.model_fields["backfill_per_s"].default * BATCH_LIMIT
    bare = f"encoding alone {_encoding(count):.2f}"
    return [
        row("spool", spool["rate"], "readings/s", None, f"{spool['cpu_us']:.1f} µs CPU a reading"),
        row("spool on disk", spool["bytes"], "B a reading"),
        row("replay, unpaced, against live", replay["rate"] / LIVE_PER_S, "×", 10,
            f"{replay['rate']:,.0f} readings/s; a node lives on {LIVE_PER_S:.0f}"),
        row("replay, paced as delivered, against live", paced / LIVE_PER_S, "×", 10,
            f"{paced:,.0f} readings/s"),
        row("replay CPU", replay["cpu_us"], "µs a reading", None, bare),
        row("live, spooled and delivered", live["rate"], "readings/s"),
        row("live CPU", live["cpu_us"], "µs a reading", None, bare),
        row("readings that arrived", cloud.readings / (count + count // 2 // 400 * 400), "", 1.0,
            f"{cloud.readings:,} of {count + count // 2 // 400 * 400:,}"),
    ]  # fmt: skip


if __name__ == "__main__":
    asyncio.run(_node(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
