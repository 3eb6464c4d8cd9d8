"""The control channel: one JSON object a line in, one JSON object a line out; logs go elsewhere."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TextIO

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.config_text import ConfigError
from firmware_sim.clock import Clock
from firmware_sim.errors import OrderError, PlanError
from firmware_sim.inputs import scenario_folder
from firmware_sim.orders import Deed, Order
from firmware_sim.plan import SimPlan
from firmware_sim.scenario import Moment, cast, find_scenario, play
from firmware_sim.world import World

LINE_LIMIT: Final = 65_536
SCENARIOS_LIMIT: Final = 8
_log: Final = structlog.get_logger("sim")


class StopOrder(BaseModel):
    """End the simulation."""

    model_config = ConfigDict(extra="forbid")

    do: Literal["stop"]


class ScenarioOrder(BaseModel):
    """Begin a scenario."""

    model_config = ConfigDict(extra="forbid")

    do: Literal["scenario"]
    name: str


class _Head(BaseModel):
    """The part of a message that says what it is."""

    do: str


_KINDS: Final[dict[str, type[StopOrder | ScenarioOrder | Order]]] = {
    "stop": StopOrder,
    "scenario": ScenarioOrder,
    **dict.fromkeys(Deed, Order),
}


def _parse(line: bytes) -> StopOrder | ScenarioOrder | Order:
    head = _Head.model_validate_json(line)
    kind = _KINDS.get(head.do)
    if kind is None:
        raise OrderError(f"do {head.do!r} is not known; there are {', '.join(_KINDS)}")
    return kind.model_validate_json(line)


class Simulation:
    """A world with its control channel. `out` gets the events; None keeps them in the log only."""

    def __init__(
        self, plan: SimPlan, folder: Path, clock: Clock, out: TextIO | None, speed: float = 1.0
    ) -> None:
        self.world = World(plan, folder, clock, self.emit)
        self._plan = plan
        self._scenarios = folder / plan.scenarios if plan.scenarios else scenario_folder()
        self._out = out
        self._speed = speed
        self._stopped = asyncio.Event()
        self._wanted: asyncio.Queue[list[Moment]] = asyncio.Queue(SCENARIOS_LIMIT)
        self._partial = b""

    def emit(self, event: str, **facts: object) -> None:
        """Tell one event on the control channel, or in the log."""
        if self._out is None:
            _log.info(event, **facts)
            return
        self._out.write(json.dumps({"event": event, **facts}, ensure_ascii=False) + "\n")
        self._out.flush()

    def stop(self) -> None:
        """End `run`."""
        self._stopped.set()

    async def run(self, scenario: str | None = None) -> None:
        """Simulate until `stop`, and play `scenario` from the start.

        Raises:
            OSError: a port is taken.
            PlanError: no such scenario, or the fleet cannot play it.
        """
        if scenario is not None:
            self.begin_scenario(scenario)
        async with asyncio.TaskGroup() as tasks:
            world = tasks.create_task(self.world.run(self._ready), name="world")
            player = tasks.create_task(self._play(), name="scenarios")
            tasks.create_task(self._end([world, player]), name="end")

    def begin_scenario(self, name: str) -> None:
        """Queue a scenario; it begins at once, beside those that run.

        Raises:
            PlanError: no such scenario, or the fleet cannot play it.
            OrderError: too many are waiting.
        """
        try:
            self._wanted.put_nowait(cast(find_scenario(name, self._scenarios), self._plan))
        except asyncio.QueueFull:
            raise OrderError(f"more than {SCENARIOS_LIMIT} scenarios are waiting") from None

    def received(self, chunk: bytes) -> None:
        """Take bytes of the control channel; no bytes mean that its other end is gone: stop."""
        if not chunk:
            self.stop()
            return
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) > LINE_LIMIT:
            self.emit("error", message=f"a line of more than {LINE_LIMIT} bytes was dropped")
            self._partial = b""
        for line in lines:
            if line.strip():
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            message = _parse(line)
            match message:
                case StopOrder():
                    self.stop()
                case ScenarioOrder(name=name):
                    self.begin_scenario(name)
                case Order():
                    self.world.order(message)
        except (ValidationError, ConfigError, OrderError, PlanError) as error:
            self.emit("error", message=_reason(error), line=line.decode(errors="replace")[:200])

    def _carry_out(self, moment: Moment) -> None:
        _log.info("step", device=moment.order.device, do=str(moment.order.do), note=moment.note)
        try:
            self.world.order(moment.order)
        except OrderError as error:
            self.emit("error", message=str(error))

    async def _ready(self) -> None:
        self.emit("ready", devices=self.world.device_count)

    async def _play(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                moments = await self._wanted.get()
                tasks.create_task(play(moments, self._carry_out, self._speed), name="scenario")

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        await self._stopped.wait()
        for task in tasks:
            task.cancel()


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        parts = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        return "not understood: " + "; ".join(parts[:4])
    return str(error)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` when the process is asked to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def follow(descriptor: int, received: Callable[[bytes], None]) -> None:
    """Hand every chunk of a file descriptor to `received` on the running loop, an empty one at its end.

    A thread reads, since the standard input may be a file, a terminal or a pipe, and not all of them can be polled.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        chunk = b"?"
        while chunk:
            try:
                chunk = os.read(descriptor, 4096)
            except OSError:
                chunk = b""
            try:
                loop.call_soon_threadsafe(received, chunk)
            except RuntimeError:  # the loop has ended before us
                return

    threading.Thread(target=read, name="control", daemon=True).start()
