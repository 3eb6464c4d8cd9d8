"""One unit on the line: when it is due, whether it answers, and what its answers say."""

from collections.abc import Iterable, Iterator

from contract.messages import Detail, DeviceBirth, Quality
from edge.driver import DeviceAlarm, DeviceEvent, MetricSpec, Observation, Reading
from edge.drivers.modbus.model import AlarmPart, DeviceModel, RegisterPart
from edge.drivers.modbus.plan import Block, Cell, plan_blocks, read_value
from edge.drivers.modbus.registers import Value
from edge.drivers.modbus.settings import ModbusDevice
from edge.levels import StagedLevels


class Answers:
    """What one poll brought: words with the time of their answer, and the blocks that were refused."""

    def __init__(self) -> None:
        self.cells: dict[Cell, int] = {}
        self.times: dict[Cell, int] = {}
        self.refused: dict[Block, int] = {}
        self.is_busy = False

    @property
    def is_empty(self) -> bool:
        """Tell whether the unit said nothing at all."""
        return not self.cells and not self.refused and not self.is_busy

    def take(self, block: Block, words: Iterable[int], at_ms: int) -> None:
        """Keep the words of one answer with the time it arrived, Unix ms."""
        for cell, word in block.cells(words).items():
            self.cells[cell] = word
            self.times[cell] = at_ms

    def refusal(self, part: RegisterPart) -> int | None:
        """Give the exception code that stands in the way of a value, None when there is none."""
        for block, code in self.refused.items():
            inside = block.address <= part.address < block.address + block.count
            if inside and block.function == part.function:
                return code
        return None


class Unit:
    """State of one unit; times are monotonic seconds unless they say ms."""

    def __init__(self, settings: ModbusDevice, model: DeviceModel, line_id: str) -> None:
        self.settings = settings
        self.model = model
        self.line_id = line_id
        self.blocks = plan_blocks(model)
        self.due_s = 0.0
        self.failures = 0
        self.is_up: bool | None = None
        self.told_refusals: set[tuple[Block, int]] = set()

    @property
    def id(self) -> str:
        """Device id."""
        return self.settings.id

    def birth(self) -> DeviceBirth:
        """Describe the device."""
        return DeviceBirth(
            id=self.id,
            kind=self.model.kind,
            model=self.model.id,
            name=self.settings.name,
            place=self.settings.place,
            gateway=self.line_id,
            period_s=self.settings.every_s,
        )

    def metrics(self) -> Iterator[MetricSpec]:
        """Give what the device reports."""
        for part in self.model.values():
            yield MetricSpec(self.id, part.metric, part.low, part.high, part.resolution)

    def schedule(self, now_s: float, every_s: float) -> None:
        """Set the next poll on the unit's own grid; missed turns are left out, never made up in a burst."""
        self.due_s += every_s
        if self.due_s <= now_s:
            self.due_s = now_s + every_s - (now_s - self.due_s) % every_s

    def link_event(self, *, is_up: bool, reason: str, at_ms: int) -> DeviceEvent:
        """Tell that the unit answers again, or no more."""
        kind = "link_up" if is_up else "link_down"
        detail: Detail = {"reason": reason, "unit": self.settings.unit}
        return DeviceEvent(self.id, kind, at_ms, detail=detail)

    def observe(self, answers: Answers, levels: StagedLevels, now_ms: int) -> list[Observation]:
        """Turn the answers into alarms first, then readings."""
        alarms: list[Observation] = list(self._alarms(answers, levels))
        readings: list[Observation] = []
        for part in self.model.values():
            value = self._value(part, answers)
            if value is None:
                continue
            at_ms = answers.times.get((part.function, part.address), now_ms)
            readings.append(Reading(self.id, part.metric, value.value, at_ms, value.quality))
            alarms.extend(self._sensor_fault(part, value, levels, at_ms))
        return [*alarms, *readings]

    def _value(self, part: RegisterPart, answers: Answers) -> Value | None:
        if answers.refusal(part) is not None:
            return Value(None, Quality.SENSOR_FAULT)
        return read_value(part, answers.cells)

    def _alarms(self, answers: Answers, levels: StagedLevels) -> Iterator[DeviceAlarm]:
        for index, alarm in enumerate(self.model.alarms):
            cell = (alarm.function, alarm.address)
            if cell not in answers.cells:
                continue
            word = answers.cells[cell]
            is_on = alarm.is_on(word)
            if levels.change(self.id, alarm.kind, index, is_active=is_on):
                detail = _alarm_detail(alarm, word)
                yield DeviceAlarm(self.id, alarm.kind, is_on, answers.times[cell], detail=detail)

    def _sensor_fault(
        self, part: RegisterPart, value: Value, levels: StagedLevels, at_ms: int
    ) -> Iterator[DeviceAlarm]:
        is_on = value.quality is Quality.SENSOR_FAULT
        source = ("sensor", part.metric)
        if levels.change(self.id, "fault", source, is_active=is_on, tells_first_off=False):
            detail: Detail = {
                "metric": part.metric,
                "reason": "sensor_fault",
            }
            yield DeviceAlarm(self.id, "fault", is_on, at_ms, detail=detail)


def _alarm_detail(alarm: AlarmPart, word: int) -> Detail:
    return {"function": alarm.function, "address": alarm.address, "value": word}
