"""An edge node with its real spool and uplink, fed by a counter instead of devices, that keeps a ledger.

Reading number k of a series has the value k and the time start + k × STEP_MS, so the store can be compared with the
ledger row by row. A line goes to the ledger only after the spool has said that it is on disk; kill -9 may therefore
leave at most one delivered batch outside the ledger, which the next life delivers again, byte for byte the same.

Run: python -m tests.torture.feeder FOLDER PORT EDGE_ID PASSWORD SERIES PER_SECOND ALARM_EVERY
"""

import asyncio
import signal
import sys
from pathlib import Path

from contract.codec import model_hash
from contract.ids import uuid7
from contract.messages import Alarm, Birth, DeviceBirth, MetricBirth
from edge.broker_link import BrokerAddress
from edge.clock import SystemClock
from edge.spool import Spool
from edge.uplink import Uplink, UplinkOptions

STEP_MS = 10
ALARM_DEVICES = 400


def devices(edge: str, series: int) -> tuple[list[DeviceBirth], list[MetricBirth]]:
    """Give the devices: one pressure transmitter a series, and the smoke detectors that will alarm once each."""
    pressure = [
        DeviceBirth(id=f"{edge}-pressure-{n}", kind="pressure", model="test", period_s=3600.0)
        for n in range(series)
    ]
    smoke = [
        DeviceBirth(
            id=f"{edge}-smoke-{n}",
            kind="smoke",
            model="test",
            place=f"{edge}-b{n}",
            period_s=86_400.0,
        )
        for n in range(ALARM_DEVICES)
    ]
    metrics = [
        MetricBirth(alias=n, device=device.id, metric="pressure_kpa", low=0.0, high=1e9)
        for n, device in enumerate(pressure)
    ]
    return pressure + smoke, metrics


def ledger_end(path: Path) -> int:
    """Give the number after the last one that was surely delivered."""
    if not path.exists():
        return 0
    lines = path.read_bytes().split(b"\n")
    return int(lines[-2]) + 1 if len(lines) > 1 else 0


class Feeder:
    """Delivers numbered readings and alarms for ever."""

    def __init__(
        self, folder: Path, edge: str, series: int, per_second: int, alarm_every: int
    ) -> None:
        self.clock = SystemClock()
        self.ledger = folder / "ledger"
        self.spool = Spool(folder / "spool.db", limit_mb=512, clock=self.clock)
        self.start = int((folder / "start").read_text())
        self.edge = edge
        self.series = series
        self.pause_s = series / per_second
        self.alarm_every = alarm_every
        self.births, self.metrics = devices(edge, series)

    def birth(self) -> Birth:
        return Birth(
            epoch=1, boot=1, at=self.clock.now_ms(), software="feeder",
            model=model_hash(self.births, self.metrics), devices=self.births, metrics=self.metrics,
        )  # fmt: skip

    async def feed(self) -> None:
        """Deliver one number after the other, each to all series at once."""
        await self.spool.use_model(self.birth())
        number = ledger_end(self.ledger)
        with self.ledger.open("ab", buffering=0) as ledger:
            while True:
                at = self.start + number * STEP_MS
                rows = [(alias, at, float(number), 0) for alias in range(self.series)]
                await self.spool.append(self.alarms(number), rows)
                ledger.write(b"%d\n" % number)
                number += 1
                await asyncio.sleep(self.pause_s)

    def alarms(self, number: int) -> list[Alarm]:
        """Give the alarm that belongs to a number, the same one in every life."""
        which, rest = divmod(number, self.alarm_every)
        if rest or which >= ALARM_DEVICES:
            return []
        return [
            Alarm(
                epoch=0, seq=0, alarm_id=uuid7(self.start + number, which.to_bytes(10, "big")),
                device=f"{self.edge}-smoke-{which}", kind="fire", is_active=True, measured_at=self.clock.now_ms(),
            )
        ]  # fmt: skip


async def main() -> None:
    """Feed until SIGTERM."""
    folder, port, edge, password, series, per_second, alarm_every = sys.argv[1:8]
    feeder = Feeder(Path(folder), edge, int(series), int(per_second), int(alarm_every))
    uplink = Uplink(
        UplinkOptions(BrokerAddress("127.0.0.1", int(port), edge, edge, password), edge, 1, backfill_per_s=200.0),
        spool=feeder.spool, birth=feeder.birth, inbox=asyncio.Queue(100), clock=feeder.clock, jitter=lambda: 0.5,
    )  # fmt: skip
    stop, pause = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, pause.set)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(uplink.run(), name="uplink"),
            tasks.create_task(feeder.feed(), name="feed"),
        ]
        tasks.create_task(
            quiet(pause, running[1], feeder, feeder.ledger.with_name("waiting")), name="quiet"
        )
        await stop.wait()
        for task in (*running, *asyncio.all_tasks() - {asyncio.current_task()}):
            task.cancel()
    feeder.spool.close()


async def quiet(
    pause: asyncio.Event, feed: "asyncio.Task[None]", feeder: Feeder, told: Path
) -> None:
    """Stop feeding when SIGUSR1 comes, go on sending what is spooled, and tell how much that still is."""
    await pause.wait()
    feed.cancel()
    while True:
        depth = await feeder.spool.depth()
        lanes = depth.alarm + depth.event + depth.data + depth.backfill
        fresh = told.with_suffix(".new")
        fresh.write_text(str(lanes + depth.live_readings + depth.backlog_readings))
        fresh.replace(told)
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
