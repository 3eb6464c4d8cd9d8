"""A listener for transmission devices: who may connect, who is live, who is gone."""

import asyncio
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from contract.messages import DeviceBirth
from edge.driver import DriverKind, DriverTools, MetricSpec
from edge.drivers.gb26875.codec import decode
from edge.drivers.gb26875.session import Counters, Desk, Session
from edge.drivers.gb26875.settings import Gb26875Settings, check
from edge.drivers.gb26875.unit import Unit
from edge.drivers.gb26875.wall_time import WallTime
from edge.errors import DeviceRefusedError, SpoolFullError
from edge.listener import Connection, Listener

log = structlog.get_logger(__name__)

TICK_MOST_S: Final = 1.0
REFRESH_AGAIN_S: Final = 60.0


class Gb26875Driver:
    """One TCP port with its transmission devices."""

    def __init__(self, settings: Gb26875Settings, tools: DriverTools) -> None:
        self._settings = settings
        self._sink, self._clock = tools.sink, tools.clock
        self._units = [
            Unit(unit, settings, clock=tools.clock, timezone=tools.timezone)
            for unit in settings.units
        ]
        self._desk = Desk(
            settings=settings,
            sink=tools.sink,
            clock=tools.clock,
            wall=WallTime(ZoneInfo(tools.timezone)),
            units={unit.settings.address: unit for unit in self._units},
        )
        self._listener = Listener(
            host=settings.listen.host,
            port=settings.listen.port,
            handle=self._serve,
            connections=settings.connections,
            connections_per_ip=settings.connections_per_ip,
        )

    @property
    def counters(self) -> Counters:
        """Count what was seen since the start."""
        return self._desk.counters

    @property
    def listener(self) -> Listener:
        """The TCP listener, for its port and its own counts."""
        return self._listener

    def devices(self) -> Sequence[DeviceBirth]:
        """Give the transmission devices and everything behind them."""
        return [birth for unit in self._units for birth in unit.births()]

    def metrics(self) -> Sequence[MetricSpec]:
        """Give every metric they report."""
        return [spec for unit in self._units for spec in unit.metrics()]

    async def run(self) -> None:
        """Listen until cancelled."""
        now_s = self._clock.monotonic_s()
        for unit in self._units:
            unit.heard_s = now_s
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listener.run(), name=f"listener[{self._settings.id}]")
            for unit in self._units:
                tasks.create_task(self._care(unit), name=f"care[{unit.id}]")

    async def write(self, device_id: str, metric: str, value: float) -> None:
        """Refuse: these devices have no outputs that may be set from here.

        Raises:
            DeviceRefusedError: always.
        """
        raise DeviceRefusedError(f"{device_id} has no output {metric} to set to {value}")

    async def _serve(self, connection: Connection) -> None:
        await Session(connection, self._desk).serve()

    async def _care(self, unit: Unit) -> None:
        """Look after one unit: ask for its states when it has come, notice when it has gone."""
        tick_s = min(TICK_MOST_S, self._settings.heartbeat_s / 4)
        while True:
            try:
                async with asyncio.timeout(tick_s):
                    await unit.wake.wait()
            except TimeoutError:
                await self._notice_silence(unit)
            unit.wake.clear()
            session = self._desk.live.get(unit.id)
            if session is not None and self._clock.monotonic_s() >= unit.refresh_due_s:
                await self._refresh(unit, session)

    async def _notice_silence(self, unit: Unit) -> None:
        silence_s = self._clock.monotonic_s() - unit.heard_s
        if unit.is_up is False or silence_s <= unit.silence_limit_s:
            return
        reason = "three heartbeats missed" if unit.is_up else "not heard since the start"
        try:
            await self._sink.deliver([unit.link_event(is_up=False, reason=reason)])
        except SpoolFullError:
            return
        unit.is_up = False
        log.warning("device is gone", device_id=unit.id, error=reason)

    async def _refresh(self, unit: Unit, session: Session) -> None:
        unit.refresh_due_s = self._clock.monotonic_s() + self._settings.refresh_s
        try:
            is_complete = await session.refresh(unit)
        except (OSError, TimeoutError) as error:
            # The connection is over; the next one asks anew.
            log.debug("states not asked", device_id=unit.id, error=str(error))
            session.close()
            return
        if not is_complete:
            retry_s = min(self._settings.refresh_s, REFRESH_AGAIN_S)
            unit.refresh_due_s = self._clock.monotonic_s() + retry_s
        if not is_complete and self._desk.is_first(f"states {unit.id}"):
            log.warning("component states not answered", device_id=unit.id)


KIND = DriverKind(
    kind="gb26875", settings=Gb26875Settings, build=Gb26875Driver, decode=decode, check=check
)
