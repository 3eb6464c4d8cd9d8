"""The event stream: one shared, pre-serialised, bounded ring of changes per process, read by every open screen.

A screen is never trusted to notice that it went blind, so the stream says where it stands: every change carries
`epoch.seq` as its id, a beat every two seconds carries the head, and whoever asks for something that is no longer
there, or never was, is told to `resync` from a snapshot. A slow screen has no queue of its own: it falls off the ring.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cloud.errors import TooManyRequestsError
from cloud.kit.clock import Clock
from cloud.kit.web import to_json
from cloud.notify.journal import Entry, Head
from cloud.people.model import Principal

BEAT_S: Final = 2.0
RING_ENTRIES: Final = 4_096
RING_BYTES: Final = 8 * 1_048_576
REPLAY_LIMIT: Final = 2_000
_CHUNK_ENTRIES: Final = 512
_BLIND_AFTER_S: Final = 5.0
_CATCH_UP_S: Final = 1.0
_PREAMBLE: Final = b"retry: 2000\n\n"

Replay = Callable[[int, int], Awaitable[Sequence[Entry] | None]]
"""Asks the journal for the changes after one number up to another; None when it no longer has them all."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the stream: `epoch.seq`, as in the id of an event."""

    epoch: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """Read an id; None when it is not one."""
        epoch, dot, seq = text.partition(".")
        if not dot or len(text) > 40 or not (epoch + seq).isascii():
            return None
        if not epoch.isdigit() or not seq.isdigit():
            return None
        return cls(int(epoch), int(seq))


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams may be open, of all people and of one."""

    total: int = 1_000
    per_user: int = 20


def event(name: str, body: object, ident: str = "") -> bytes:
    """Write one server-sent event; `body` becomes one line of JSON."""
    head = f"id: {ident}\n" if ident else ""
    return f"{head}event: {name}\ndata: ".encode() + to_json(body) + b"\n\n"


class Ring:
    """The newest changes as bytes ready to send; numbers are contiguous, the oldest go first."""

    def __init__(self, head: int, *, entries: int = RING_ENTRIES, size: int = RING_BYTES) -> None:
        self.head = head
        self._entries = entries
        self._size_limit = size
        self._size = 0
        self._frames: deque[bytes] = deque()
        self._memo: tuple[int, int, bytes] = (head, head, b"")

    @property
    def first(self) -> int:
        """Give the number of the oldest change that is here; head + 1 when none is."""
        return self.head - len(self._frames) + 1

    def push(self, seq: int, frame: bytes) -> None:
        """Add the change that follows the head; a jump empties the ring first, so that no gap is ever sent."""
        if seq != self.head + 1:
            self._frames.clear()
            self._size = 0
        self._frames.append(frame)
        self._size += len(frame)
        self.head = seq
        while len(self._frames) > self._entries or (
            self._size > self._size_limit and len(self._frames) > 1
        ):
            self._size -= len(self._frames.popleft())

    def since(self, cursor: int) -> tuple[int, bytes]:
        """Give what follows `cursor`, which must be at least `first - 1`: the new cursor and the bytes.

        Everybody who keeps up asks for the same, so the last answer is kept.
        """
        upto = min(self.head, cursor + _CHUNK_ENTRIES)
        if self._memo[0] == cursor and self._memo[1] == upto:
            return upto, self._memo[2]
        end = len(self._frames)
        begin = end - (self.head - cursor)
        chunk = b"".join(self._frames[index] for index in range(begin, begin + upto - cursor))
        self._memo = (cursor, upto, chunk)
        return upto, chunk


class Feed:
    """What happens now, and who is listening; lives on the event loop, only `looked` may come from elsewhere.

    Args:
        head: where the journal stands at the start.
        clock: what time it is.
        replay: reads the journal for a screen whose last number is older than the ring.
        limits: how many streams may be open.
    """

    def __init__(
        self, head: Head, *, clock: Clock, replay: Replay, limits: StreamLimits | None = None
    ) -> None:
        self.epoch = head.epoch
        self.ring = Ring(head.seq)
        self._clock = clock
        self.replay = replay
        self._limits = limits or StreamLimits()
        self.streams: set[Stream] = set()
        self.beats = 0
        self.beat_frame = b""
        self.closing = ""
        self._changed = asyncio.Event()
        self.seen_at = clock.monotonic_s()

    def publish(self, head: Head, entries: Iterable[Entry]) -> None:
        """Take over new changes, oldest first; another epoch or an older head (a restored database) starts anew."""
        self.seen_at = self._clock.monotonic_s()
        if head.epoch != self.epoch or head.seq < self.ring.head:
            self.epoch = head.epoch
            self.ring = Ring(head.seq)
        for entry in entries:
            if entry.seq > self.ring.head:
                self.ring.push(entry.seq, self.frame(entry))
        self.wake()

    def frame(self, entry: Entry) -> bytes:
        """Write a change as it goes over the wire."""
        return event(entry.kind, entry.body, f"{self.epoch}.{entry.seq}")

    def looked(self) -> None:
        """Note that the journal was looked at and nothing was new."""
        self.seen_at = self._clock.monotonic_s()

    def beat(self) -> None:
        """Tell everybody where the stream stands; silent while the journal cannot be read, so that screens see it."""
        if self._clock.monotonic_s() - self.seen_at > _BLIND_AFTER_S:
            return
        self.beats += 1
        self.beat_frame = event("beat", self.position())
        self.wake()

    def position(self) -> dict[str, int]:
        """Give head, epoch and the cloud's time."""
        return {"head": self.ring.head, "epoch": self.epoch, "now": self._clock.now_ms()}

    def wake(self) -> None:
        """Let every stream look."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Wait until somebody calls `wake`."""
        await self._changed.wait()

    def close(self, reason: str = "stopping") -> None:
        """End every stream, now and from now on."""
        self.closing = reason
        self.wake()

    def end(self, is_valid: Callable[[Principal], bool], reason: str) -> int:
        """End the streams of principals that are no longer valid and tell how many."""
        ended = [stream for stream in self.streams if not is_valid(stream.principal)]
        for stream in ended:
            stream.ending = reason
        if ended:
            self.wake()
        return len(ended)

    def open(self, principal: Principal, after: str) -> "Stream":
        """Start a stream; the caller must call its `leave` at the end.

        Args:
            principal: who listens.
            after: the id after which to go on, empty for "from now".

        Raises:
            TooManyRequestsError: there are too many streams, of all people or of this one.
        """
        if len(self.streams) >= self._limits.total:
            raise TooManyRequestsError(
                "too many screens are open", "close one, or raise web.stream_limit"
            )
        own = sum(1 for stream in self.streams if stream.principal.user_id == principal.user_id)
        if own >= self._limits.per_user:
            raise TooManyRequestsError(
                f"you have {own} streams open", "close a page, or raise web.stream_limit_user"
            )
        stream = Stream(self, principal, after)
        self.streams.add(stream)
        return stream


class Stream:
    """One open screen: a cursor into the shared ring and nothing else."""

    def __init__(self, feed: Feed, principal: Principal, after: str) -> None:
        self._feed = feed
        self.principal = principal
        self.ending = ""
        self.has_ended = False
        self._after = after
        self._epoch = feed.epoch
        self._cursor = feed.ring.head
        self._beats = -1

    async def begin(self) -> bytes:
        """Give the first bytes: what was missed if the ring no longer has it, or `resync`."""
        feed = self._feed
        if not self._after:
            return _PREAMBLE
        wanted = Position.parse(self._after)
        if wanted is None or wanted.epoch != feed.epoch or not await self._is_reached(wanted.seq):
            return _PREAMBLE + self._resync("unknown")
        self._cursor = wanted.seq
        if wanted.seq >= feed.ring.first - 1:
            return _PREAMBLE
        return _PREAMBLE + await self._from_journal(wanted.seq)

    async def _is_reached(self, seq: int) -> bool:
        """Wait a moment for a number just ahead: a snapshot may have read a commit that the watch has not yet seen."""
        feed = self._feed
        if seq - feed.ring.head > RING_ENTRIES:
            return False
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                while feed.ring.head < seq and not feed.closing:
                    await feed.change()
        except TimeoutError:
            return False
        return feed.ring.head >= seq

    async def _from_journal(self, seq: int) -> bytes:
        """Read what is older than the ring; what happens meanwhile is in the ring."""
        feed = self._feed
        upto = feed.ring.head
        if upto - seq > REPLAY_LIMIT:
            return self._resync("too_old")
        entries = await feed.replay(seq, upto)
        if entries is None or self._epoch != feed.epoch:
            return self._resync("too_old")
        self._cursor = upto
        return b"".join(feed.frame(entry) for entry in entries)

    async def following(self) -> bytes:
        """Wait for the next bytes; empty when the stream has ended. A beat comes only after what it speaks of."""
        feed = self._feed
        while not self.has_ended:
            reason = self.ending or feed.closing
            if reason:
                self.has_ended = True
                return event("end", {"reason": reason})
            chunk = self._news()
            if self._beats != feed.beats and self._cursor == feed.ring.head:
                chunk += feed.beat_frame if self._beats >= 0 else event("beat", feed.position())
                self._beats = feed.beats
            if chunk:
                return chunk
            await feed.change()
        return b""

    def _news(self) -> bytes:
        ring = self._feed.ring
        if self._epoch != self._feed.epoch or self._cursor > ring.head:
            return self._resync("unknown")
        if self._cursor == ring.head:
            return b""
        if self._cursor < ring.first - 1:
            return self._resync("too_slow")
        self._cursor, chunk = ring.since(self._cursor)
        return chunk

    def _resync(self, reason: str) -> bytes:
        """Tell the screen to take a snapshot and go on from the head."""
        feed = self._feed
        self._epoch = feed.epoch
        self._cursor = feed.ring.head
        body = {"reason": reason, "head": feed.ring.head, "epoch": feed.epoch}
        return event("resync", body, f"{feed.epoch}.{feed.ring.head}")

    def leave(self) -> None:
        """End the stream from the reader's side."""
        self.has_ended = True
        self._feed.streams.discard(self)
