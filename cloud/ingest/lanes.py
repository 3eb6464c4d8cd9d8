"""Which messages of a lane have been seen, and up to where they are all there. Pure.

The law both sides keep: a sender has at most `SEND_WINDOW` unacknowledged messages of a lane under way
and always sends from the lowest. Whoever sees message s therefore knows that s - SEND_WINDOW and
everything before it was acknowledged once, even if this database has no memory of it (it was made
anew, or restored from last night). Without that step a lane would wait for ever for messages that
the edge deleted long ago.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from contract.messages import Lane

SEND_WINDOW: Final = 64
EPOCHS_KEPT: Final = 8
COUNT_LIMIT: Final = 1 << 53


class Verdict(Enum):
    """What a sequence number is to its lane."""

    NEW = "new"
    DUPLICATE = "duplicate"


class LaneKey(NamedTuple):
    """One ordered sequence of messages; `epoch` is when the edge's spool was made."""

    edge: str
    epoch: int
    lane: Lane


@dataclass(slots=True)
class LaneState:
    """What was received of one lane.

    Attributes:
        high: everything up to here was received.
        window: bit i stands for message `high + 1 + i`; bit 0 is never set.
        missing: messages below `high` which this cloud never saw, for a person to know.
        is_stored: a database remembers the lane already.
    """

    high: int = 0
    window: int = 0
    missing: int = 0
    is_stored: bool = False

    def has(self, seq: int) -> bool:
        """Tell whether this message was received, or acknowledged before our memory begins."""
        offset = seq - self.high - 1
        return offset < 0 or bool(self.window >> offset & 1) if offset < SEND_WINDOW else False

    def take(self, seq: int) -> Verdict:
        """Note one message, `seq` from 1, and tell whether it is the first copy."""
        offset = seq - self.high - 1
        if offset == 0 and self.window == 0:
            self.high = seq
            return Verdict.NEW
        if offset < 0:
            return Verdict.DUPLICATE
        if offset >= SEND_WINDOW:
            self._forget_below(seq - SEND_WINDOW)
            offset = seq - self.high - 1
        bit = 1 << offset
        if self.window & bit:
            return Verdict.DUPLICATE
        self.window |= bit
        self._advance()
        return Verdict.NEW

    def _forget_below(self, floor: int) -> None:
        shift = floor - self.high
        seen = (self.window & ((1 << min(shift, SEND_WINDOW)) - 1)).bit_count()
        self.missing += shift - seen
        self.window >>= min(shift, SEND_WINDOW)
        self.high = floor
        self._advance()

    def _advance(self) -> None:
        run = (~self.window & self.window + 1).bit_length() - 1
        self.window >>= run
        self.high += run


class LaneBook:
    """The lanes of all edges of a worker; at most `EPOCHS_KEPT` epochs an edge are remembered."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, LaneState] = {}
        self._epochs: dict[str, dict[int, None]] = {}

    def restore(self, key: LaneKey, high: int, window: int = 0) -> None:
        """Put back what a database remembers; the higher of two memories wins."""
        state = self.lane(key)
        state.is_stored = True
        if high > state.high:
            state.high, state.window = high, window

    def lane(self, key: LaneKey) -> LaneState:
        """Give the state of a lane, a new one if it was never heard of."""
        state = self._lanes.get(key)
        if state is None:
            state = self._lanes[key] = LaneState()
            self._remember(key)
        return state

    def _remember(self, key: LaneKey) -> None:
        epochs = self._epochs.setdefault(key.edge, {})
        epochs.pop(key.epoch, None)
        epochs[key.epoch] = None
        while len(epochs) > EPOCHS_KEPT:
            oldest = next(iter(epochs))
            del epochs[oldest]
            for lane in Lane:
                self._lanes.pop(LaneKey(key.edge, oldest, lane), None)

    def __contains__(self, key: LaneKey) -> bool:
        return key in self._lanes

    def __len__(self) -> int:
        return len(self._lanes)
