"""Everything that is simulated, put together from a plan: opens the lines, keeps the links, moves the plants."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from firmware_sim.clock import Clock
from firmware_sim.errors import OrderError
from firmware_sim.modbus.boards import BOARDS, Board
from firmware_sim.modbus.faults import Faults
from firmware_sim.modbus.line import Line, Slave
from firmware_sim.modbus.transports import serve_pty, serve_tcp
from firmware_sim.orders import Deed, Emit, Order, Twin
from firmware_sim.plan import LinePlan, PtyTransport, SimPlan, UitdPlan, UnitPlan
from firmware_sim.plant import HydrantPipe, KitchenAir, Plant, WaterTank
from firmware_sim.seeding import generator
from firmware_sim.twins import DetectorTwin, LineTwin, SensorTwin, UitdTwin
from firmware_sim.uitd.frames import ComponentKey
from firmware_sim.uitd.link import Link
from firmware_sim.uitd.panel import Component, Panel

SAMPLE_S: Final = 0.1
CALM_ROUNDS: Final = 10  # sensors where nothing happens are sampled once a second


class World:
    """All twins of a plan. `folder` is where the links to serial ports are made."""

    def __init__(self, plan: SimPlan, folder: Path, clock: Clock, emit: Emit) -> None:
        self.plan = plan
        self.ports: dict[str, int] = {}
        self.twins: dict[str, Twin] = {}
        self.links: list[Link] = []
        self._folder = folder
        self._clock = clock
        self._emit = emit
        self._sensors: list[SensorTwin] = []
        self._lines = [self._line(line) for line in plan.lines]
        for uitd in plan.uitds:
            self._uitd(uitd)
        self.device_count = len(self._sensors) + sum(len(uitd.components) for uitd in plan.uitds)

    async def run(self, ready: Callable[[], Coroutine[None, None, None]]) -> None:
        """Open everything, call `ready`, and keep going until cancelled.

        Raises:
            OSError: a port is taken.
        """
        for sensor in self._sensors:
            sensor.sample()
        async with AsyncExitStack() as stack:
            for plan, line in zip(self.plan.lines, self._lines, strict=True):
                await self._open(stack, plan, line)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sample(), name="sample")
                for uitd, link in zip(self.plan.uitds, self.links, strict=True):
                    tasks.create_task(link.run(), name=f"link[{uitd.id}]")
                tasks.create_task(ready(), name="ready")

    def order(self, order: Order) -> None:
        """Carry out an order, and undo it after `for_s`.

        Raises:
            OrderError: no such device, or it cannot do that.
        """
        twin = self.twins.get(order.device)
        if twin is None:
            raise OrderError(f"{order.device}: no such device")
        twin.carry_out(order)
        if order.for_s is not None:
            undo = Order(do=Deed.RESTORE, device=order.device)
            asyncio.get_running_loop().call_later(order.for_s, twin.carry_out, undo)

    async def _open(self, stack: AsyncExitStack, plan: LinePlan, line: Line) -> None:
        transport = plan.transport
        if isinstance(transport, PtyTransport):
            stack.enter_context(serve_pty(line, self._folder / transport.path))
            return
        self.ports[plan.id] = await stack.enter_async_context(
            serve_tcp(line, transport.host, transport.port, is_rtu=transport.type == "rtu_over_tcp")
        )

    async def _sample(self) -> None:
        step = 0
        while True:
            await asyncio.sleep(SAMPLE_S)
            step += 1
            for sensor in self._sensors:
                if sensor.is_hot or step % CALM_ROUNDS == 0:
                    sensor.sample()

    def _line(self, plan: LinePlan) -> Line:
        slaves = {unit.unit: self._slave(unit) for unit in plan.units}
        on_wire = 0 if plan.transport.type == "tcp" else plan.baudrate
        line = Line(plan.id, slaves, on_wire)
        self.twins[plan.id] = LineTwin(line, self._clock, self._emit)
        return line

    def _slave(self, plan: UnitPlan) -> Slave:
        kind = BOARDS[plan.model]
        faults = Faults()
        board = kind(self._plant(kind, plan.id), faults, plan.unit)
        slave = Slave(plan.id, plan.unit, board, faults)
        twin = SensorTwin(slave, self._clock, self._emit)
        self.twins[plan.id] = twin
        self._sensors.append(twin)
        return slave

    def _plant(self, kind: type[Board], device_id: str) -> Plant:
        rng = generator(self.plan.seed, device_id)
        match kind.metric:
            case "gas_lel_pct":
                return KitchenAir(rng)
            case "level_m":
                return WaterTank(rng)
        return HydrantPipe(rng)

    def _uitd(self, plan: UitdPlan) -> None:
        components = [
            Component(
                part.id,
                ComponentKey(part.system, part.system_address, part.zone, part.point),
                part.type,
                part.name,
            )
            for part in plan.components
        ]
        panel = Panel(plan.address, components, self._clock)
        link = Link(plan, panel)
        gateway = UitdTwin(link, self._clock, self._emit)
        self.links.append(link)
        self.twins[plan.id] = gateway
        for component in components:
            self.twins[component.device_id] = DetectorTwin(
                component, panel, gateway, self._clock, self._emit
            )
