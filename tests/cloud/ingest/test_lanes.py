"""Lanes: every message is taken once, and the mark never claims what is missing."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.lanes import (
    EPOCHS_KEPT,
    SEND_WINDOW,
    LaneBook,
    LaneKey,
    LaneState,
    Verdict,
)
from contract.messages import Lane


class Reference:
    """The same law over a plain set."""

    def __init__(self) -> None:
        self.floor = 0
        self.seen: set[int] = set()

    def take(self, seq: int) -> Verdict:
        self.floor = max(self.floor, seq - SEND_WINDOW)
        if seq <= self.floor or seq in self.seen:
            return Verdict.DUPLICATE
        self.seen.add(seq)
        while self.floor + 1 in self.seen:
            self.floor += 1
        return Verdict.NEW

    @property
    def high(self) -> int:
        while self.floor + 1 in self.seen:
            self.floor += 1
        return self.floor


@given(st.lists(st.integers(1, 400), max_size=300))
def test_agrees_with_a_plain_set(seqs: list[int]) -> None:
    lane, reference = LaneState(), Reference()
    for seq in seqs:
        assert lane.take(seq) is reference.take(seq)
        assert lane.high == reference.high
        assert lane.window < 1 << SEND_WINDOW
        assert not lane.window & 1


@given(st.integers(1, 2000), st.randoms(use_true_random=False))
def test_a_shuffled_and_doubled_stream_is_taken_exactly_once(count: int, random: object) -> None:
    shuffle = random.shuffle  # type: ignore[attr-defined]
    lane, taken, base = LaneState(), [], 1
    while base <= count:
        burst = list(range(base, min(base + SEND_WINDOW, count + 1))) * 2
        shuffle(burst)
        taken += [seq for seq in burst if lane.take(seq) is Verdict.NEW]
        base += SEND_WINDOW
    assert sorted(taken) == list(range(1, count + 1))
    assert (lane.high, lane.window, lane.missing) == (count, 0, 0)


def test_a_gap_is_not_acknowledged_over() -> None:
    lane = LaneState()
    for seq in (1, 2, 4, 5):
        lane.take(seq)
    assert lane.high == 2
    assert lane.has(5)
    assert not lane.has(3)
    assert lane.take(3) is Verdict.NEW
    assert lane.high == 5


def test_a_cloud_without_memory_finds_the_senders_place() -> None:
    lane = LaneState()
    for seq in range(5_000, 5_000 + SEND_WINDOW):
        assert lane.take(seq) is Verdict.NEW
    assert lane.high == 5_000 + SEND_WINDOW - 1
    assert lane.missing == 4_999


def test_an_enormous_number_costs_nothing() -> None:
    lane = LaneState()
    lane.take(1 << 60)
    assert lane.window.bit_length() <= SEND_WINDOW


def test_the_book_forgets_the_oldest_epochs() -> None:
    book = LaneBook()
    for epoch in range(100):
        book.lane(LaneKey("a", epoch, Lane.DATA)).take(1)
    assert len(book) == EPOCHS_KEPT
    assert book.lane(LaneKey("a", 99, Lane.DATA)).high == 1


def test_the_higher_of_two_memories_wins() -> None:
    book, key = LaneBook(), LaneKey("a", 1, Lane.ALARM)
    book.restore(key, 10, 0b100)
    book.restore(key, 7)
    assert (book.lane(key).high, book.lane(key).window) == (10, 0b100)
