"""The composition root of the edge node: builds everything from one checked file, runs it, stops it."""

import asyncio
import secrets
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import structlog

from contract.codec import model_hash
from contract.config_text import ConfigError, Mistake
from contract.messages import Birth, Detail, DeviceBirth, MetricBirth
from contract.topics import Channel
from edge.clock import Clock, ClockGuard
from edge.downlink import Downlink, DownlinkDoors
from edge.driver import Driver, DriverTools, Observation
from edge.drivers import driver_kinds
from edge.errors import DeviceRefusedError, SpoolFullError
from edge.intake import Intake, Inventory
from edge.reflex import ReflexRunner
from edge.settings import EdgeConfig, judge, load
from edge.spool import Spool
from edge.status import write_status
from edge.supervision import TaskHealth, supervise
from edge.uplink import Uplink, UplinkOptions

log = structlog.get_logger()
INBOX: Final = 32
STATUS_S: Final = 2.0
DROPS_S: Final = 60.0
BASELINE_S: Final = 0.1
STRUCTURE_KINDS: Final = {"edge", "line", "uitd"}


class _LateSink:
    """Stands in for the intake until the drivers have said what they have."""

    def __init__(self) -> None:
        self.intake: Intake | None = None

    async def deliver(self, observations: Sequence[Observation]) -> None:
        if self.intake is None:
            raise SpoolFullError("the node is still starting")
        await self.intake.deliver(observations)


def software_version() -> str:
    """Give the version of this software."""
    try:
        return f"linli {version('linli')}"
    except PackageNotFoundError:
        return "linli"


def build_drivers(config: EdgeConfig, sink: _LateSink, clock: Clock) -> dict[str, Driver]:
    """Build every driver of the configuration, by its id; nothing is opened."""
    tools = DriverTools(sink, clock, config.models_dir, config.settings.edge.timezone)
    return {
        entry.id: driver_kinds()[entry.kind].build(entry, tools)
        for entry in config.settings.drivers
    }


def take_inventory(config: EdgeConfig, drivers: Mapping[str, Driver]) -> Inventory:
    """Collect devices and metrics, and number the metrics: the aliases of the birth."""
    node = config.settings.edge
    devices = [DeviceBirth(id=node.id, kind="edge", model="linli-edge", name=node.name)]
    devices += [device for driver in drivers.values() for device in driver.devices()]
    specs = [spec for driver in drivers.values() for spec in driver.metrics()]
    specs.sort(key=lambda spec: (spec.device_id, spec.metric))
    metrics = [
        MetricBirth(
            alias=alias,
            device=spec.device_id,
            metric=spec.metric,
            low=spec.low,
            high=spec.high,
            resolution=spec.resolution,
        )
        for alias, spec in enumerate(specs)
    ]
    return Inventory(devices, metrics)


def check(config: EdgeConfig, file: str, clock: Clock) -> Inventory:
    """Find what only shows when the drivers are built: a reflex on a metric that nothing reports.

    Raises:
        ConfigError: with every such reflex.
    """
    inventory = take_inventory(config, build_drivers(config, _LateSink(), clock))
    reported = {(row.device, row.metric) for row in inventory.metrics}
    mistakes = [
        Mistake(
            file,
            0,
            f"reflexes.{rule.id}",
            f"{rule.device} does not report {rule.metric}, so this would never fire",
            "it reports " + ", ".join(sorted(m for d, m in reported if d == rule.device)),
        )
        for rule in config.rules
        if (rule.device, rule.metric) not in reported
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return inventory


class Node:
    """One life of the agent: everything built from one version of the configuration."""

    def __init__(self, config: EdgeConfig, path: Path, *, clock: Clock, boot: int) -> None:
        """Build everything; opens the spool and nothing else."""
        self._config = config
        self._clock = clock
        self._boot = boot
        self._health: dict[str, TaskHealth] = {}
        self.halt = asyncio.Event()
        self.is_restart = False
        self._guard = ClockGuard(clock)
        sink = _LateSink()
        self._drivers = build_drivers(config, sink, clock)
        self._inventory = take_inventory(config, self._drivers)
        self._owner = {
            device.id: driver for driver in self._drivers.values() for device in driver.devices()
        }
        settings = config.settings
        self._spool = Spool(config.spool_path, limit_mb=settings.spool.limit_mb, clock=clock)
        self._config_version = int(self._spool.facts.note("config_version") or 0)
        self._reflexes = ReflexRunner(
            config.rules, write=self._write, report=sink.deliver, clock=clock
        )
        self._intake = Intake(
            edge_id=settings.edge.id,
            inventory=self._inventory,
            spool=self._spool,
            clock=clock,
            guard=self._guard,
            feed=self._reflexes.feed,
            entropy=lambda: secrets.token_bytes(10),
        )
        sink.intake = self._intake
        inbox: asyncio.Queue[tuple[Channel, bytes]] = asyncio.Queue(INBOX)
        self._uplink = Uplink(
            UplinkOptions(config.address, settings.edge.id, boot, settings.uplink.backfill_per_s),
            spool=self._spool,
            birth=self._birth,
            inbox=inbox,
            clock=clock,
            jitter=secrets.SystemRandom().random,
        )
        doors = DownlinkDoors(self._write, self._report, self._judge_at(path), self._restart)
        self._downlink = Downlink(
            inbox,
            outlet=self._uplink,
            doors=doors,
            spool=self._spool,
            config_path=path,
            clock=clock,
        )

    async def run(self) -> None:
        """Run until `halt` is set, then stop every task and close the spool."""
        try:
            await self._spool.use_model(self._birth())
            for note in self._spool.damage:
                log.error("spool damaged", note=note)
                await self._report("spool_damaged", {"note": note})
            async with asyncio.TaskGroup() as tasks:
                works = {
                    "uplink": self._uplink.run,
                    "downlink": self._downlink.run,
                    "reflex": self._reflexes.run,
                    "status": self._tell_status,
                    "drops": self._tell_drops,
                    "baseline": self._tell_baseline,
                    **{f"driver.{name}": driver.run for name, driver in self._drivers.items()},
                }
                running = []
                for name, work in works.items():
                    health = self._health.setdefault(name, TaskHealth())
                    watched = supervise(name, work, health=health, clock=self._clock)
                    running.append(tasks.create_task(watched, name=name))
                await self.halt.wait()
                for task in running:
                    task.cancel()
        finally:
            self._spool.close()

    def _birth(self) -> Birth:
        devices, metrics = list(self._inventory.devices), list(self._inventory.metrics)
        return Birth(
            epoch=self._spool.facts.epoch,
            boot=self._boot,
            at=self._clock.now_ms(),
            software=software_version(),
            model=model_hash(devices, metrics),
            devices=devices,
            metrics=metrics,
            config_version=self._config_version,
        )

    async def _write(self, device_id: str, metric: str, value: float) -> None:
        driver = self._owner.get(device_id)
        if driver is None:
            raise DeviceRefusedError(f"no device {device_id} on this node")
        await driver.write(device_id, metric, value)

    async def _report(self, kind: str, detail: Detail) -> None:
        await self._intake.deliver([self._intake.own_event(kind, detail)])

    def _judge_at(self, path: Path) -> "_Judge":
        return _Judge(path, self._config.settings.edge.id, self._clock)

    def _restart(self) -> None:
        self.is_restart = True
        self.halt.set()

    async def _tell_drops(self) -> None:
        while True:
            if self._uplink.state.is_up:
                dropped = await self._spool.take_dropped()
                if dropped.count:
                    log.warning("readings dropped for want of space", count=dropped.count)
                    await self._report("spool_dropped", asdict(dropped))
            await asyncio.sleep(DROPS_S)

    async def _tell_baseline(self) -> None:
        while True:
            await self._intake.release()
            await asyncio.sleep(BASELINE_S)

    async def _tell_status(self) -> None:
        while True:
            status = await self._status()
            await asyncio.to_thread(write_status, self._config.spool_path.parent, status)
            await asyncio.sleep(STATUS_S)

    async def _status(self) -> dict[str, Any]:
        kinds = self._intake.liveness()
        sensors = [count for kind, count in kinds.items() if kind not in STRUCTURE_KINDS]
        depth = asdict(await self._spool.depth())
        return {
            "edge": self._config.settings.edge.id,
            "at": self._clock.now_ms(),
            "boot": self._boot,
            "software": software_version(),
            "config_version": self._config_version,
            "devices": {
                "total": sum(count["total"] for count in sensors),
                "live": sum(count["live"] for count in sensors),
                "kinds": kinds,
            },
            "link": asdict(self._uplink.state),
            "spool": depth,
            "accepted": self._intake.accepted,
            "refused": dict(self._intake.refused),
            "clock_trusted": self._guard.is_trusted,
            "reflexes": {
                "fired": self._reflexes.fired_total,
                "failed": self._reflexes.failed_total,
            },
            "crashed": {
                name: asdict(health) for name, health in self._health.items() if health.restarts
            },
        }


class _Judge:
    """Checks a pushed configuration as if it stood in the node's own file."""

    def __init__(self, path: Path, edge_id: str, clock: Clock) -> None:
        self._path = path
        self._edge_id = edge_id
        self._clock = clock

    def __call__(self, text: str) -> None:
        config = judge(text, self._path)
        check(config, self._path.name, self._clock)
        if config.settings.edge.id != self._edge_id:
            wrong = f"is for {config.settings.edge.id}, this node is {self._edge_id}"
            raise ConfigError([Mistake(self._path.name, 0, "edge.id", wrong)])


async def run_agent(path: Path, clock: Clock) -> None:
    """Run the node of a configuration file until SIGTERM or SIGINT; a new configuration begins a new life.

    Raises:
        ConfigError: the file has mistakes.
        SpoolLockedError: another process runs on the same spool.
    """
    boot = clock.now_ms()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while True:
        config = await asyncio.to_thread(load, path)
        await asyncio.to_thread(check, config, path.name, clock)
        node = Node(config, path, clock=clock, boot=boot)
        log.info("edge node starts", edge_id=config.settings.edge.id)
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(_halt_on(stop, node), name="stop")
            await node.run()
            watcher.cancel()
        if not node.is_restart or stop.is_set():
            log.info("edge node stopped", edge_id=config.settings.edge.id)
            return


async def _halt_on(stop: asyncio.Event, node: Node) -> None:
    await stop.wait()
    node.halt.set()
