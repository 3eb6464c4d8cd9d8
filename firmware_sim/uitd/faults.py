"""What can be wrong with a transmission device; switched at run time."""

from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """One way to misbehave. The value is the name used in orders and scenarios."""

    DEAF = "deaf"
    DOUBLE = "double"
    SPLIT = "split"
    BAD_CHECKSUM = "bad_checksum"
    SERIAL_ZERO = "serial_zero"
    DEAD_CLOCK = "dead_clock"
    TEST_BIT = "test_bit"
    SILENT_CUT = "silent_cut"
    LINK_LOST = "link_lost"


@dataclass(slots=True)
class Faults:
    """The faults that are switched on; the number of `bad_checksum` counts the frames still to be spoilt."""

    active: dict[Fault, float] = field(default_factory=dict)

    def switch(self, fault: Fault, *, on: bool, number: float | None = None) -> None:
        """Switch a fault on or off."""
        if on:
            self.active[fault] = float("inf") if number is None else number
        else:
            self.active.pop(fault, None)

    def has(self, fault: Fault) -> bool:
        """Tell whether a fault is switched on."""
        return fault in self.active

    def takes_one(self, fault: Fault) -> bool:
        """Tell whether a counted fault hits now, and count it."""
        left = self.active.get(fault, 0)
        if left <= 0:
            return False
        self.active[fault] = left - 1
        if self.active[fault] <= 0:
            del self.active[fault]
        return True
