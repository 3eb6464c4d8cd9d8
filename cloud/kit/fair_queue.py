"""A bounded queue in which one sender's flood delays nobody else: each in turn, each with a share of the room."""

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

SHARES: Final = 8
_SENDER: Final = 3


class Item(Protocol):
    """A message by its topic, whose fourth part names the sender."""

    @property
    def topic(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def payload(self) -> bytes: ...  # noqa: D102 - the class says it


_Item = TypeVar("_Item", bound=Item)


class _Line(Generic[_Item]):
    """What one sender has waiting, in its order."""

    __slots__ = ("items", "size")

    def __init__(self) -> None:
        self.items: deque[_Item] = deque()
        self.size = 0


class FairQueue(Generic[_Item]):
    """Bounded in messages and bytes, as a whole and by sender; what does not fit is dropped and counted.

    Safe between threads.
    """

    def __init__(self, limit: int, bytes_limit: int) -> None:
        self._limit, self._bytes_limit = limit, bytes_limit
        self._lines: OrderedDict[str, _Line[_Item]] = OrderedDict()
        self._count = self._size = 0
        self._lock = threading.Lock()
        self.dropped = 0

    def put(self, items: Sequence[_Item]) -> None:
        """Add messages behind those of the same sender."""
        with self._lock:
            for item in items:
                self._put(item)

    def _put(self, item: _Item) -> None:
        size = _size(item)
        sender = _sender(item.topic)
        line = self._lines.get(sender) or _Line()
        is_over = self._count >= self._limit or self._size + size > self._bytes_limit
        share, bytes_share = self._limit / SHARES, self._bytes_limit / SHARES
        # The first of a sender always fits its share, however large it is.
        if is_over or (line.items and (len(line.items) >= share or line.size + size > bytes_share)):
            self.dropped += 1
            return
        self._lines[sender] = line
        line.items.append(item)
        line.size += size
        self._count += 1
        self._size += size

    def take(self, most: int) -> list[_Item]:
        """Take up to `most` messages, one of each sender in turn, those of a sender in their order."""
        taken: list[_Item] = []
        with self._lock:
            while self._lines and len(taken) < most:
                sender, line = self._lines.popitem(last=False)
                item = line.items.popleft()
                line.size -= _size(item)
                self._count -= 1
                self._size -= _size(item)
                taken.append(item)
                if line.items:
                    self._lines[sender] = line
        return taken

    def __len__(self) -> int:
        return self._count


def _sender(topic: str) -> str:
    parts = topic.split("/", _SENDER + 1)
    return parts[_SENDER] if len(parts) > _SENDER else ""


def _size(item: Item) -> int:
    return len(item.payload) + len(item.topic)
