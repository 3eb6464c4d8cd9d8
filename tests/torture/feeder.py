"""An edge node with its real spool and uplink, fed by a counter instead of devices, that keeps a ledger.

Reading number k of a series has the value k and the time start + k × STEP_MS, so the store can be compared with the
ledger row by row. A line goes to the ledger only after the spool has said that it is on disk; kill -9 may therefore
leave at most one delivered batch outside the ledger, which the next life delivers again, byte for byte the same.

Run: python -m tests.torture.feeder FOLDER, which holds plan.json (class Plan). The file `told` says what is kept
(class Told). SIGUSR1 ends the feeding, but not the sending; SIGUSR2 makes it read the file
`clock_ms`, by how much its clock is wrong.
"""

import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from contract.codec import model_hash
from contract.ids import uuid7
from contract.messages import Alarm, Birth, DeviceBirth, Event, MetricBirth
from edge import broker_link
from edge.broker_link import BrokerAddress
from edge.clock import SystemClock
from edge.spool import Depth, Spool
from edge.uplink import Uplink, UplinkOptions

STEP_MS = 10
ALARM_DEVICES = 400


class Plan(msgspec.Struct):
    """What one feeder does: `batch` numbers at once, each a reading of every series; times in Unix ms."""

    edge: str
    port: int
    password: str
    start: int
    series: int = 20
    per_second: float = 1_000
    alarm_every: int = 40
    batch: int = 1
    limit_mb: float = 512
    backfill_per_s: float = 200
    keepalive_s: int = broker_link.KEEPALIVE_S
    connect_s: float = broker_link.CONNECT_S
    period_s: float = 3600.0


class Told(msgspec.Struct):
    """What a feeder still keeps, how many readings it dropped for want of space, and whether it has stopped feeding."""

    is_quiet: bool
    waiting: int
    dropped: int


class ShiftedClock(SystemClock):
    """A clock that is wrong by as much as a file says; its seconds go on as they should."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._shift_ms = 0
        self.look()

    def look(self) -> None:
        self._shift_ms = int(self._file.read_text()) if self._file.exists() else 0

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms


def devices(plan: Plan) -> tuple[list[DeviceBirth], list[MetricBirth]]:
    """Give the devices: one pressure transmitter a series, and the smoke detectors that will alarm once each."""
    pressure = [
        DeviceBirth(
            id=f"{plan.edge}-pressure-{n}", kind="pressure", model="test", period_s=plan.period_s
        )
        for n in range(plan.series)
    ]
    smoke = [
        DeviceBirth(
            id=f"{plan.edge}-smoke-{n}",
            kind="smoke",
            model="test",
            place=f"{plan.edge}-b{n}",
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

    def __init__(self, folder: Path) -> None:
        self.plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
        self.folder = folder
        self.clock = ShiftedClock(folder / "clock_ms")
        self.spool = Spool(
            folder / "spool" / "spool.db", limit_mb=self.plan.limit_mb, clock=self.clock
        )
        self.births, self.metrics = devices(self.plan)

    def birth(self) -> Birth:
        return Birth(
            epoch=1, boot=1, at=self.clock.now_ms(), software="feeder",
            model=model_hash(self.births, self.metrics), devices=self.births, metrics=self.metrics,
        )  # fmt: skip

    def uplink(self) -> Uplink:
        plan = self.plan
        address = BrokerAddress("127.0.0.1", plan.port, plan.edge, plan.edge, plan.password)
        return Uplink(
            UplinkOptions(address, plan.edge, 1, backfill_per_s=plan.backfill_per_s),
            spool=self.spool, birth=self.birth, inbox=asyncio.Queue(100), clock=self.clock, jitter=lambda: 0.5,
        )  # fmt: skip

    async def feed(self) -> None:
        """Deliver some numbers after the others, each to all series at once."""
        plan = self.plan
        ledger_file = self.folder / "ledger"
        number = ledger_end(ledger_file)
        with ledger_file.open("ab", buffering=0) as ledger:
            while True:
                numbers = range(number, number + plan.batch)
                rows: list[tuple[int, int, float | None, int]] = [
                    (alias, plan.start + k * STEP_MS, float(k), 0)
                    for k in numbers
                    for alias in range(plan.series)
                ]
                await self.spool.append([a for k in numbers for a in self.alarms(k)], rows)
                number += plan.batch
                ledger.write(b"%d\n" % (number - 1))
                await asyncio.sleep(plan.batch * plan.series / plan.per_second)

    def alarms(self, number: int) -> list[Alarm]:
        """Give the alarm that belongs to a number, the same one in every life."""
        which, rest = divmod(number, self.plan.alarm_every)
        if rest or which >= ALARM_DEVICES:
            return []
        return [
            Alarm(
                epoch=0, seq=0, alarm_id=uuid7(self.plan.start + number, which.to_bytes(10, "big")),
                device=f"{self.plan.edge}-smoke-{which}", kind="fire", is_active=True,
                measured_at=self.clock.now_ms(),
            )
        ]  # fmt: skip

    async def report_drops(self, uplink: Uplink) -> None:
        """Tell the cloud what was dropped, as the node does."""
        while True:
            if uplink.state.is_up and (dropped := await self.spool.take_dropped()).count:
                event = Event(
                    epoch=0, seq=0, event_id=uuid7(self.clock.now_ms(), bytes(10)), device=self.plan.edge,
                    kind="spool_dropped", measured_at=self.clock.now_ms(), detail={"count": dropped.count},
                )  # fmt: skip
                await self.spool.append([event], [])
            await asyncio.sleep(0.5)

    async def tell(self, quiet: asyncio.Event) -> None:
        """Tell again and again what is still kept."""
        while True:
            is_quiet = quiet.is_set()
            depth: Depth = await self.spool.depth()
            lanes = depth.alarm + depth.event + depth.data + depth.backfill
            kept = lanes + depth.live_readings + depth.backlog_readings
            told = Told(is_quiet, kept, depth.dropped_total)
            fresh = self.folder / "told.new"
            fresh.write_bytes(msgspec.json.encode(told))
            fresh.replace(self.folder / "told")
            await asyncio.sleep(0.1)


async def main() -> None:
    """Feed until SIGTERM."""
    feeder = Feeder(Path(sys.argv[1]))
    # A node may be made impatient, so that a test need not wait as long as a node in the field.
    vars(broker_link).update(KEEPALIVE_S=feeder.plan.keepalive_s, CONNECT_S=feeder.plan.connect_s)
    await feeder.spool.use_model(feeder.birth())
    uplink = feeder.uplink()
    stop, quiet, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, quiet.set)
    loop.add_signal_handler(signal.SIGUSR2, feeder.clock.look)
    (feeder.folder / "ready").touch()

    async def until_quiet() -> None:
        await quiet.wait()
        feeding.cancel()
        await asyncio.wait([feeding])
        stopped.set()

    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(feeder.feed(), name="feed")
        others = [
            tasks.create_task(uplink.run(), name="uplink"),
            tasks.create_task(feeder.report_drops(uplink), name="drops"),
            tasks.create_task(until_quiet(), name="quiet"),
            tasks.create_task(feeder.tell(stopped), name="tell"),
        ]
        await stop.wait()
        for task in (feeding, *others):
            task.cancel()
    feeder.spool.close()


if __name__ == "__main__":
    asyncio.run(main())
