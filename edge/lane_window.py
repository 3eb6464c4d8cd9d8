"""Which message of a lane goes next: at most a window unacknowledged, everything again after a silence. Pure."""

from dataclasses import dataclass
from typing import Final

WINDOW: Final = 64
RESEND_S: Final = (2.0, 4.0, 8.0)


@dataclass(slots=True)
class LaneWindow:
    """The sending side of one lane during one connection; times are monotonic seconds.

    Attributes:
        acked: the cloud has everything up to here.
        next_seq: the message to be sent next.
        resend_at: when everything from `acked` + 1 is sent again; None while nothing is under way.
        attempt: how often it was sent again without any progress.
    """

    acked: int = 0
    next_seq: int = 1
    resend_at: float | None = None
    attempt: int = 0

    @classmethod
    def from_lowest(cls, lowest: int) -> "LaneWindow":
        """Begin a connection whose lowest unacknowledged seq is `lowest`."""
        return cls(acked=lowest - 1, next_seq=lowest)

    @property
    def room(self) -> int:
        """Give how many more messages may be sent before an acknowledgement."""
        return max(0, self.acked + WINDOW + 1 - self.next_seq)

    def sent(self, seq: int, now: float) -> None:
        """Note that `seq` was handed to the broker."""
        self.next_seq = max(self.next_seq, seq + 1)
        if seq <= self.acked:
            return
        if self.resend_at is None:
            self.resend_at = now + RESEND_S[min(self.attempt, len(RESEND_S) - 1)]

    def acknowledged(self, through: int, now: float) -> bool:
        """Take an acknowledgement; True when it says something new."""
        if through <= self.acked:
            return False
        self.acked = through
        self.next_seq = max(self.next_seq, through + 1)
        self.attempt = 0
        self.resend_at = now + RESEND_S[0] if self.next_seq > through + 1 else None
        return True

    def hurry(self, now: float) -> bool:
        """Stop waiting when the cloud speaks again after it left something unanswered; True when so."""
        if self.resend_at is None or not self.attempt:
            return False
        self.resend_at, self.attempt = now, 0
        return True

    def is_behind(self, through: int) -> bool:
        """Tell whether an acknowledgement shows a cloud that has forgotten: after all resends still less than once."""
        return through < self.acked and self.attempt >= len(RESEND_S)

    def tick(self, now: float) -> bool:
        """Go back to the lowest unacknowledged message when the wait is over; True when so."""
        if self.resend_at is None or now < self.resend_at:
            return False
        self.next_seq = self.acked + 1
        self.attempt += 1
        self.resend_at = None
        return True
