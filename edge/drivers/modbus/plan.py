"""Which requests one poll of a device takes, and what their answers mean. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contract.messages import Quality
from edge.drivers.modbus.model import DeviceModel, RegisterPart
from edge.drivers.modbus.registers import Value, factor_of, raw_number, value_of

_BITS_LIMIT = 2000
Cell = tuple[int, int]
"""Function and address of one register or bit."""


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """One read request."""

    function: int
    address: int
    count: int

    def cells(self, words: Iterable[int]) -> dict[Cell, int]:
        """Lay the answer's words over their addresses."""
        return {(self.function, self.address + at): word for at, word in enumerate(words)}


def plan_blocks(model: DeviceModel) -> tuple[Block, ...]:
    """Group everything a model reads into as few requests as its limits allow, the one with its first register first.

    A value is never torn over two requests: its words would be of two moments.
    """
    spans = sorted(set(_spans(model)))
    blocks: list[Block] = []
    for function, start, end in spans:
        limit = _BITS_LIMIT if function in {1, 2} else model.request_limit
        last = blocks[-1] if blocks else None
        if (
            last is not None
            and last.function == function
            and start <= last.address + last.count + model.bridge
            and max(end, last.address + last.count) - last.address <= limit
        ):
            count = max(end, last.address + last.count) - last.address
            blocks[-1] = Block(function, last.address, count)
        else:
            blocks.append(Block(function, start, end - start))
    first = model.registers[0]
    return tuple(sorted(blocks, key=lambda block: (not _holds(block, first), block)))


def _holds(block: Block, part: RegisterPart) -> bool:
    inside = block.address <= part.address < block.address + block.count
    return block.function == part.function and inside


def _spans(model: DeviceModel) -> Iterable[tuple[int, int, int]]:
    for part in model.values():
        yield part.function, part.address, part.address + part.words()
        for extra in (part.decimals_at, part.unit_at):
            if extra is not None:
                yield part.function, extra, extra + 1
    for alarm in model.alarms:
        yield alarm.function, alarm.address, alarm.address + 1


def read_value(part: RegisterPart, cells: Mapping[Cell, int]) -> Value | None:
    """Give the value of one register of the model, or None when its words were not answered.

    A unit code or number of decimals that the model does not know is a sensor fault: a number in an unknown unit is
    worse than none.
    """
    wanted = [(part.function, part.address + at) for at in range(part.words())]
    extras = [(part.function, at) for at in (part.decimals_at, part.unit_at) if at is not None]
    if any(cell not in cells for cell in (*wanted, *extras)):
        return None
    words = [cells[cell] for cell in wanted]
    if part.function in {1, 2}:
        return value_of(float(bool(words[0])), part.scaling())
    if part.bit is not None:
        return value_of(float(words[0] >> part.bit & 1), part.scaling())
    decimals = None if part.decimals_at is None else cells[part.function, part.decimals_at]
    unit = None if part.unit_at is None else cells[part.function, part.unit_at]
    factor = factor_of(decimals, unit, part.units)
    if factor is None:
        return Value(None, Quality.SENSOR_FAULT)
    return value_of(raw_number(words, part.type, part.order), part.scaling(factor))
