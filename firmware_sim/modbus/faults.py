"""What can be wrong with a Modbus slave; switched at run time."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """One way to misbehave. The value is the name used in orders and scenarios."""

    SILENT = "silent"
    WRONG_CRC = "wrong_crc"
    EXCEPTION = "exception"
    SLOW = "slow"
    SPLIT = "split"
    DOUBLE = "double"
    WORD_ORDER = "word_order"
    OPEN_LOOP = "open_loop"
    SENSOR = "sensor"
    RESTART = "restart"


DEFAULTS: Final[dict[Fault, float]] = {
    Fault.EXCEPTION: 4,  # slave device failure
    Fault.SLOW: 1.2,  # s, beyond every sensible time-out
    Fault.SPLIT: 0.002,  # s between two bytes
    Fault.RESTART: 2.0,  # s until it answers again
}


@dataclass(slots=True)
class Faults:
    """The faults that are switched on, each with its number (a code, or seconds)."""

    active: dict[Fault, float] = field(default_factory=dict)

    def switch(self, fault: Fault, *, on: bool, number: float | None = None) -> None:
        """Switch a fault on or off; `number` replaces its usual code or duration."""
        if on:
            self.active[fault] = DEFAULTS.get(fault, 0) if number is None else number
        else:
            self.active.pop(fault, None)

    def has(self, fault: Fault) -> bool:
        """Tell whether a fault is switched on."""
        return fault in self.active
