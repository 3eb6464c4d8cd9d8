"""One Modbus line: one master task polls its units, sets their outputs and tells who is gone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from contract.messages import DeviceBirth
from edge.driver import DeviceEvent, DriverKind, DriverTools, MetricSpec, Observation, Reading
from edge.drivers.modbus.codec import EXCEPTIONS, decode, response_frame
from edge.drivers.modbus.model import OutputPart
from edge.drivers.modbus.plan import Block, read_value
from edge.drivers.modbus.registers import registers_of
from edge.drivers.modbus.settings import ModbusSettings, check, load_model
from edge.drivers.modbus.unit import Answers, Unit
from edge.errors import (
    DeviceRefusedError,
    DeviceUnavailableError,
    FrameError,
    SpoolFullError,
)
from edge.levels import AlarmLevels
from edge.transport import ExceptionAnswerError, LineDownError, ModbusLine

log = structlog.get_logger(__name__)

RECONNECT_FIRST_S: Final = 0.25
RECONNECT_MOST_S: Final = 10.0
LINE_DOWN_AFTER: Final = 3
CONFIRM_READS: Final = 4
CONFIRM_PAUSE_S: Final = 0.1
WRITES_WAITING: Final = 32
_BUSY: Final = {5, 6}
_SILENT: Final = {10, 11}


@dataclass(frozen=True, slots=True)
class _Order:
    """An output to set; `done` hears what became of it."""

    unit: Unit
    output: OutputPart
    value: float
    done: "asyncio.Future[None]"


class ModbusDriver:
    """The master of one line."""

    def __init__(self, settings: ModbusSettings, tools: DriverTools) -> None:
        self._settings = settings
        self._sink, self._clock = tools.sink, tools.clock
        names = {device.model for device in settings.devices}
        models = {name: load_model(tools.models_dir, name) for name in sorted(names)}
        self._units = [
            Unit(device, models[device.model], settings.id) for device in settings.devices
        ]
        self._line = ModbusLine(
            settings.link, timeout_s=settings.timeout_s, find_frame=response_frame
        )
        self._levels = AlarmLevels()
        self._writes: asyncio.Queue[_Order] = asyncio.Queue(WRITES_WAITING)
        self._is_line_up: bool | None = None
        self._line_failures = 0
        self._opened_s = 0.0
        self._is_spool_full = False
        self._log = log.bind(driver_id=settings.id)

    def devices(self) -> Sequence[DeviceBirth]:
        """Give the line itself, then its units."""
        link = self._settings.link
        line = DeviceBirth(
            id=self._settings.id,
            kind="line",
            model=f"modbus-{link.type.replace('_', '-')}",
            name=self._line.describe(),
        )
        return [line, *(unit.birth() for unit in self._units)]

    def metrics(self) -> Sequence[MetricSpec]:
        """Give every metric of every unit."""
        return [spec for unit in self._units for spec in unit.metrics()]

    async def run(self) -> None:
        """Poll until cancelled; a line that is gone is opened again, at most 10 s apart."""
        for unit in self._units:
            unit.due_s = self._clock.monotonic_s()
        try:
            while True:
                await self._turn()
        finally:
            self._line.close()
            self._drop_orders("the line is being stopped")

    async def write(self, device_id: str, metric: str, value: float) -> None:
        """Set an output and confirm it by reading it back.

        Raises:
            DeviceUnavailableError: no answer in time, or too many writes are waiting.
            DeviceRefusedError: the unit answers with an exception, reads back another value, or has no such output.
        """
        unit = next((unit for unit in self._units if unit.id == device_id), None)
        output = unit.model.output(metric) if unit else None
        if unit is None or output is None:
            raise DeviceRefusedError(f"{device_id} has no output {metric}")
        order = _Order(unit, output, value, asyncio.get_running_loop().create_future())
        try:
            _raw_words(output, value)
            self._writes.put_nowait(order)
            async with asyncio.timeout(self._settings.write_timeout_s):
                await order.done
        except FrameError as error:
            raise DeviceRefusedError(f"{device_id}: {error}") from error
        except asyncio.QueueFull:
            raise DeviceUnavailableError(f"{device_id}: too many writes are waiting") from None
        except TimeoutError:
            raise DeviceUnavailableError(f"{device_id} did not confirm {metric} in time") from None

    async def _turn(self) -> None:
        """Do the one thing that is due: open the line, set an output, or poll a unit."""
        if not self._line.is_connected:
            await self._open_line()
            return
        await self._serve_writes()
        unit = min(self._units, key=lambda unit: unit.due_s)
        wait_s = unit.due_s - self._clock.monotonic_s()
        if wait_s > 0:
            await self._wait_for_order(wait_s)
            return
        try:
            await self._poll(unit)
        except LineDownError as error:
            self._line.close()
            self._log.debug("line closed", error=str(error))
        every_s = self._settings.dead_every_s if unit.is_up is False else unit.settings.every_s
        unit.schedule(self._clock.monotonic_s(), every_s)
        self._renew_silent_line()

    async def _open_line(self) -> None:
        try:
            await self._line.connect()
        except LineDownError as error:
            self._line_failures += 1
            if self._line_failures >= LINE_DOWN_AFTER and self._is_line_up is not False:
                await self._tell_line(is_up=False, reason=str(error))
            self._drop_orders(str(error))
            pause_s = RECONNECT_FIRST_S * 2 ** min(self._line_failures, 6)
            await asyncio.sleep(min(pause_s, RECONNECT_MOST_S))
            return
        self._line_failures = 0
        self._opened_s = self._clock.monotonic_s()
        if self._is_line_up is not True:
            await self._tell_line(is_up=True, reason="open")

    def _renew_silent_line(self) -> None:
        """Open a line anew on which nobody answers: a half-open TCP connection looks like that."""
        since_s = self._clock.monotonic_s() - self._opened_s
        if since_s > self._settings.dead_every_s and all(
            unit.is_up is False for unit in self._units
        ):
            self._line.close()

    async def _tell_line(self, *, is_up: bool, reason: str) -> None:
        kind = "link_up" if is_up else "link_down"
        event = DeviceEvent(
            self._settings.id, kind, self._clock.now_ms(), detail={"reason": reason}
        )
        if not await self._deliver([event]):
            return
        if not is_up:
            self._log.warning("line is gone", reason=reason)
        elif self._is_line_up is False:
            self._log.info("line is back")
        self._is_line_up = is_up

    async def _poll(self, unit: Unit) -> None:
        answers = Answers()
        reason = "no answer"
        try:
            for block in unit.blocks:
                await self._serve_writes()
                if not await self._read_block(unit, block, answers):
                    break
        except LineDownError:
            raise
        except DeviceUnavailableError as error:
            reason = str(error)
        if answers.is_empty:
            await self._note_failure(unit, reason)
            return
        unit.failures = 0
        await self._note_answers(unit, answers)

    async def _read_block(self, unit: Unit, block: Block, answers: Answers) -> bool:
        """Read one block; tell whether the unit may be asked on in this cycle.

        An RTU answer does not say which request it answers. After a time-out the unit is left alone until its next
        cycle, so that a late answer is not taken for that of another block.
        """
        tries = 1 if unit.failures else 1 + self._settings.retries
        for attempt in range(tries):
            await self._keep_gap()
            try:
                words = await self._line.read(
                    unit.settings.unit, block.function, block.address, block.count
                )
            except LineDownError:
                raise
            except ExceptionAnswerError as error:
                return self._note_refusal(unit, block, answers, error)
            except DeviceUnavailableError:
                if attempt + 1 < tries:
                    continue
                raise
            answers.take(block, words, self._clock.now_ms())
            return attempt == 0 or self._line.has_framing
        return False

    def _note_refusal(
        self, unit: Unit, block: Block, answers: Answers, error: ExceptionAnswerError
    ) -> bool:
        if error.code in _SILENT:
            raise DeviceUnavailableError(EXCEPTIONS[error.code])
        if error.code in _BUSY:
            answers.is_busy = True
            return True
        answers.refused[block] = error.code
        if (block, error.code) not in unit.told_refusals:
            unit.told_refusals.add((block, error.code))
            name = EXCEPTIONS.get(error.code, f"exception {error.code}")
            self._log.warning(
                "registers refused", device_id=unit.id, address=block.address, error=name
            )
        return True

    async def _note_answers(self, unit: Unit, answers: Answers) -> None:
        now_ms = self._clock.now_ms()
        staged = self._levels.stage()
        observations = unit.observe(answers, staged, now_ms)
        if unit.is_up is not True:
            observations.insert(0, unit.link_event(is_up=True, reason="answers", at_ms=now_ms))
        if not await self._deliver(observations):
            return
        staged.commit()
        if unit.is_up is False:
            self._log.info("device is back", device_id=unit.id)
        unit.is_up = True

    async def _note_failure(self, unit: Unit, reason: str) -> None:
        unit.failures += 1
        if unit.failures < self._settings.dead_after or unit.is_up is False:
            return
        event = unit.link_event(is_up=False, reason=reason, at_ms=self._clock.now_ms())
        if await self._deliver([event]):
            unit.is_up = False
            self._log.warning("device is gone", device_id=unit.id, error=reason)

    async def _deliver(self, observations: Sequence[Observation]) -> bool:
        """Hand over; False when the disk is full, and then everything that counts is told again next time."""
        if not observations:
            return True
        try:
            await self._sink.deliver(observations)
        except SpoolFullError as error:
            if not self._is_spool_full:
                self._log.error("alarms cannot be kept", error=str(error))
            self._is_spool_full = True
            return False
        self._is_spool_full = False
        return True

    async def _keep_gap(self) -> None:
        if self._settings.gap_s and not self._line.has_framing:
            await asyncio.sleep(self._settings.gap_s)

    async def _wait_for_order(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                order = await self._writes.get()
        except TimeoutError:
            return
        await self._carry_out(order)

    async def _serve_writes(self) -> None:
        """Set outputs before anything else is asked: closing a gas valve does not wait for a poll cycle."""
        while not self._writes.empty():
            await self._carry_out(self._writes.get_nowait())

    async def _carry_out(self, order: _Order) -> None:
        # An order whose sender gave up is not carried out late: the valve may be meant otherwise by now.
        if order.done.done():
            return
        try:
            await self._set_output(order)
        except (DeviceRefusedError, DeviceUnavailableError) as error:
            if not order.done.done():
                order.done.set_exception(error)
            if isinstance(error, LineDownError):
                self._line.close()
            return
        if not order.done.done():
            order.done.set_result(None)

    async def _set_output(self, order: _Order) -> None:
        output, unit = order.output, order.unit
        words = _raw_words(output, order.value)
        for attempt in range(1 + self._settings.retries):
            await self._keep_gap()
            try:
                await self._line.write(unit.settings.unit, output.function, output.address, words)
                break
            except LineDownError:
                raise
            except DeviceUnavailableError:
                # An unanswered write may have been done all the same; reading back decides.
                if attempt == self._settings.retries:
                    raise
        await self._confirm(order, words)

    async def _confirm(self, order: _Order, words: Sequence[int]) -> None:
        part, unit = order.output.as_register(), order.unit
        block = Block(part.function, part.address, part.words())
        found: list[int] = []
        for attempt in range(CONFIRM_READS):
            await asyncio.sleep(CONFIRM_PAUSE_S if attempt else self._settings.gap_s)
            found = await self._line.read(
                unit.settings.unit, block.function, block.address, block.count
            )
            if found == list(words):
                break
        value = read_value(part, block.cells(found))
        if value is not None:
            now_ms = self._clock.now_ms()
            await self._deliver([Reading(unit.id, part.metric, value.value, now_ms, value.quality)])
        if found != list(words):
            raise DeviceRefusedError(f"{unit.id} keeps {part.metric} at {found}, not {words}")

    def _drop_orders(self, reason: str) -> None:
        while not self._writes.empty():
            order = self._writes.get_nowait()
            if not order.done.done():
                order.done.set_exception(DeviceUnavailableError(reason))


def _raw_words(output: OutputPart, value: float) -> list[int]:
    is_low = output.low is not None and value < output.low
    is_high = output.high is not None and value > output.high
    if is_low or is_high:
        raise FrameError(f"{output.metric} takes {output.low} to {output.high}, not {value}")
    if output.function == 5:
        return [int(bool(value))]
    return registers_of(value / output.scale, output.type, output.order)


KIND = DriverKind(
    kind="modbus", settings=ModbusSettings, build=ModbusDriver, decode=decode, check=check
)
