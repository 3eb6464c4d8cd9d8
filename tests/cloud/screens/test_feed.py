import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import TooManyRequestsError
from cloud.notify.journal import Entry, Head
from cloud.people.model import Principal, Role
from cloud.screens import feed as feed_module
from cloud.screens.api import FeedResponse
from cloud.screens.feed import Feed, Position, Ring, Stream, StreamLimits

EPOCH = 1_790_000_000_000


class HandClock:
    def __init__(self) -> None:
        self.now = 0.0

    def now_ms(self) -> int:
        return EPOCH + int(self.now * 1000)

    def monotonic_s(self) -> float:
        return self.now


@dataclass
class Journal:
    """What the database would still know."""

    entries: list[Entry] = field(default_factory=list)
    forgotten: int = 0

    async def replay(self, seq: int, upto: int) -> Sequence[Entry] | None:
        if seq < self.forgotten:
            return None
        return [entry for entry in self.entries if seq < entry.seq <= upto]


def entry(seq: int, size: int = 10) -> Entry:
    return Entry(seq, EPOCH, "alert", f"a{seq}", {"seq": seq, "text": "火" * size})


def person(user_id: str = "u1", credential: str = "c1") -> Principal:
    return Principal(user_id, user_id, user_id, Role.DUTY, credential=credential)


def make(
    head: int = 0, clock: HandClock | None = None, journal: Journal | None = None, **limits: int
) -> Feed:
    return Feed(
        Head(EPOCH, head),
        clock=clock or HandClock(),
        replay=(journal or Journal()).replay,
        limits=StreamLimits(**limits),
    )


def events(raw: bytes) -> list[tuple[str, str, dict[str, object]]]:
    """Read a piece of a stream as (event, id, body)."""
    found = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in lines:
            found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


async def heard(stream: Stream) -> list[tuple[str, str, dict[str, object]]]:
    """Read what a stream says until its next beat."""
    found = events(await stream.begin())
    while not any(name == "beat" for name, _, _ in found):
        async with asyncio.timeout(20):
            found += events(await stream.following())
    return found


def seqs(found: list[tuple[str, str, dict[str, object]]]) -> list[object]:
    return [body["seq"] for name, _, body in found if name == "alert"]


async def test_a_new_screen_hears_where_the_stream_stands() -> None:
    feed = make(7)
    [(name, ident, body)] = await heard(feed.open(person(), ""))
    assert (name, ident) == ("beat", "")
    assert body == {"head": 7, "epoch": EPOCH, "now": EPOCH}


async def test_a_change_carries_its_place_as_id() -> None:
    feed = make()
    stream = feed.open(person(), "")
    await heard(stream)
    feed.publish(Head(EPOCH, 1), [entry(1)])
    assert events(await stream.following()) == [
        ("alert", f"{EPOCH}.1", {"seq": 1, "text": "火" * 10})
    ]


async def test_a_returning_screen_misses_nothing_from_the_ring() -> None:
    feed = make()
    feed.publish(Head(EPOCH, 900), [entry(seq) for seq in range(1, 901)])
    found = await heard(feed.open(person(), f"{EPOCH}.5"))
    assert seqs(found) == list(range(6, 901))


async def test_a_returning_screen_misses_nothing_that_only_the_journal_has() -> None:
    journal = Journal([entry(seq) for seq in range(1, 101)])
    feed = make(50, journal=journal)
    feed.publish(Head(EPOCH, 100), journal.entries[50:])
    found = await heard(feed.open(person(), f"{EPOCH}.20"))
    assert seqs(found) == list(range(21, 101))


@pytest.mark.parametrize("after", [f"{EPOCH}.101", f"{EPOCH - 1}.5", "nonsense", "1.2.3", "٣.٣"])
async def test_an_unknown_place_means_resync(after: str) -> None:
    journal = Journal([entry(seq) for seq in range(1, 101)])
    feed = make(100, journal=journal)
    found = await heard(feed.open(person(), after))
    assert [name for name, _, _ in found] == ["resync", "beat"]
    assert found[0][1] == f"{EPOCH}.100"


async def test_a_snapshot_may_be_ahead_of_the_watch_for_a_moment() -> None:
    feed = make(100)
    stream = feed.open(person(), f"{EPOCH}.102")
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(heard(stream), name="reading")
        await asyncio.sleep(0)
        feed.publish(Head(EPOCH, 103), [entry(101), entry(102), entry(103)])
    assert seqs(reading.result()) == [103]


async def test_a_place_older_than_the_journal_means_resync() -> None:
    feed = make(100, journal=Journal(forgotten=50))
    found = await heard(feed.open(person(), f"{EPOCH}.20"))
    assert [name for name, _, _ in found] == ["resync", "beat"]


async def test_a_place_very_long_ago_means_resync_without_reading() -> None:
    async def never(_seq: int, _upto: int) -> Sequence[Entry] | None:
        raise AssertionError("the journal was read")

    feed = Feed(Head(EPOCH, 9_000), clock=HandClock(), replay=never)
    found = await heard(feed.open(person(), f"{EPOCH}.20"))
    assert found[0][2]["reason"] == "too_old"


async def test_a_slow_screen_falls_off_the_ring_and_keeps_no_queue() -> None:
    feed = make()
    stream = feed.open(person(), "")
    await heard(stream)
    total = feed_module.RING_ENTRIES + 100
    feed.publish(Head(EPOCH, total), [entry(seq) for seq in range(1, total + 1)])
    [(name, ident, body)] = events(await stream.following())
    assert (name, ident, body["reason"]) == ("resync", f"{EPOCH}.{total}", "too_slow")


async def test_a_restored_database_makes_every_screen_resync() -> None:
    feed = make(100)
    stream = feed.open(person(), "")
    await heard(stream)
    feed.publish(Head(EPOCH + 5, 3), [])
    [(name, ident, _)] = events(await stream.following())
    assert (name, ident) == ("resync", f"{EPOCH + 5}.3")


async def test_no_gap_is_ever_sent() -> None:
    feed = make()
    stream = feed.open(person(), "")
    await heard(stream)
    feed.publish(Head(EPOCH, 1), [entry(1)])
    feed.publish(Head(EPOCH, 9), [entry(8), entry(9)])
    [(name, _, _)] = events(await stream.following())
    assert name == "resync"


async def test_beats_stop_while_the_journal_cannot_be_read() -> None:
    clock = HandClock()
    feed = make(clock=clock)
    feed.beat()
    assert feed.beats == 1
    clock.now = 6
    feed.beat()
    assert feed.beats == 1
    feed.looked()
    feed.beat()
    assert feed.beats == 2


async def test_an_ended_session_ends_its_streams_and_no_other() -> None:
    feed = make()
    gone, stays = feed.open(person(), ""), feed.open(person("u2", "c2"), "")
    await heard(gone)
    await heard(stays)
    assert feed.end(lambda who: who.credential == "c2", "session_ended") == 1
    assert events(await gone.following()) == [("end", "", {"reason": "session_ended"})]
    assert await gone.following() == b""
    feed.beat()
    assert events(await stays.following())[0][0] == "beat"


async def test_streams_are_limited_together_and_each() -> None:
    feed = make(total=3, per_user=2)
    first = feed.open(person(), "")
    feed.open(person(), "")
    with pytest.raises(TooManyRequestsError):
        feed.open(person(), "")
    feed.open(person("u2"), "")
    with pytest.raises(TooManyRequestsError):
        feed.open(person("u3"), "")
    first.leave()
    feed.open(person("u3"), "")


async def test_a_blocked_connection_holds_no_more_than_one_piece() -> None:
    feed = make()
    stream = feed.open(person(), "")
    sent: list[bytes] = []
    gate = asyncio.Event()
    gate.set()
    done = asyncio.Event()

    async def send(message: dict[str, object]) -> None:
        await gate.wait()
        body = message.get("body", b"")
        assert isinstance(body, bytes)
        sent.append(body)

    async def receive() -> dict[str, object]:
        await done.wait()
        return {"type": "http.disconnect"}

    async def until(text: bytes) -> None:
        async with asyncio.timeout(20):
            while not any(text in piece for piece in sent):  # noqa: ASYNC110 - polls what another task fills
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(FeedResponse(stream)({}, receive, send), name="response")  # type: ignore[arg-type]
        await until(b"event: beat")
        gate.clear()
        for seq in range(1, feed_module.RING_ENTRIES + 500):
            feed.publish(Head(EPOCH, seq), [entry(seq)])
            await asyncio.sleep(0)
        gate.set()
        await until(b"event: resync")
        assert sum(len(piece) for piece in sent) < 10_000
        done.set()
        feed.wake()
    assert not feed.streams


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    entries=st.integers(1, 20),
    size=st.integers(10, 400),
    reads=st.sets(st.integers(0, 59)),
)
def test_the_ring_gives_all_or_says_that_it_cannot(
    sizes: list[int], entries: int, size: int, reads: set[int]
) -> None:
    ring = Ring(0, entries=entries, size=size)
    cursor, got = 0, b""
    frames = [bytes([65 + seq % 26]) * length for seq, length in enumerate(sizes)]
    for seq, frame in enumerate(frames):
        ring.push(seq + 1, frame)
        held = ring.head - ring.first + 1
        assert 1 <= held <= entries
        if seq in reads:
            if cursor < ring.first - 1:
                cursor, got = ring.head, b"".join(frames[: ring.head])
            else:
                cursor, chunk = ring.since(cursor)
                got += chunk
            assert got == b"".join(frames[:cursor])


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_none(text: str) -> None:
    place = Position.parse(text)
    assert place is None or Position.parse(f"{place.epoch}.{place.seq}") == place
