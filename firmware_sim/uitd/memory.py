"""What a transmission device still has to tell: packets that wait for their confirmation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

EVENTS_KEPT: Final = 1000
SERIALS: Final = 1 << 16


@dataclass(slots=True)
class Packet:
    """One data unit on its way; `on_first_send` is called when its bytes have left for the first time."""

    serial: int
    app: bytes
    is_event: bool
    is_fire: bool = False
    on_first_send: Callable[[], None] | None = None
    tries: int = 0
    due_s: float = 0.0


class Memory:
    """Packets in the order in which they happened. Events outlive a lost link, reports are made anew.

    When 1000 events wait, the oldest that is no fire makes room.
    """

    def __init__(self) -> None:
        self._packets: list[Packet] = []
        self._serial = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[Packet]:
        return iter(self._packets)

    def next_serial(self) -> int:
        """Give the serial of a new packet: one more than the last, none that is still in use."""
        used = {packet.serial for packet in self._packets}
        self._serial = (self._serial + 1) % SERIALS
        while self._serial in used or self._serial == 0:
            self._serial = (self._serial + 1) % SERIALS
        return self._serial

    def keep(
        self,
        app: bytes,
        *,
        is_event: bool,
        is_fire: bool = False,
        on_first_send: Callable[[], None] | None = None,
    ) -> Packet:
        """Queue a data unit."""
        if len(self._packets) >= EVENTS_KEPT:
            self._drop_one()
        packet = Packet(self.next_serial(), app, is_event, is_fire, on_first_send)
        self._packets.append(packet)
        return packet

    def confirm(self, serial: int) -> bool:
        """Forget the packet with that serial; False when nothing waits for it."""
        for packet in self._packets:
            if packet.serial == serial and packet.tries:
                self._packets.remove(packet)
                return True
        return False

    def confirm_oldest(self) -> None:
        """Forget the oldest packet that was sent: all a device without serials can do."""
        for packet in self._packets:
            if packet.tries:
                self._packets.remove(packet)
                return

    def begin_session(self) -> None:
        """Get ready for a new connection: reports go, events are sent again from the start."""
        self._packets = [packet for packet in self._packets if packet.is_event]
        for packet in self._packets:
            packet.tries, packet.due_s = 0, 0.0

    def _drop_one(self) -> None:
        victim = next((packet for packet in self._packets if not packet.is_fire), self._packets[0])
        self._packets.remove(victim)
        self.dropped += 1
