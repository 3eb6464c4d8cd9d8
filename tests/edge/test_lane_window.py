"""The window of a lane: bounded, in order, everything again after a silence."""

from hypothesis import given
from hypothesis import strategies as st

from edge.lane_window import WINDOW, LaneWindow


def test_everything_unacknowledged_is_sent_again_after_2_4_8_8_seconds() -> None:
    window = LaneWindow.from_lowest(5)
    now, waits = 0.0, []
    for _ in range(4):
        for seq in (5, 6):
            window.sent(seq, now)
        assert window.resend_at is not None
        waits.append(window.resend_at - now)
        now = window.resend_at
        assert window.tick(now)
        assert window.next_seq == 5
    assert waits == [2.0, 4.0, 8.0, 8.0]


def test_progress_makes_the_next_wait_short_again() -> None:
    window = LaneWindow.from_lowest(1)
    for seq in (1, 2, 3):
        window.sent(seq, 0.0)
    assert window.tick(2.0)
    for seq in (1, 2, 3):
        window.sent(seq, 2.0)
    assert window.acknowledged(2, 3.0)
    assert window.resend_at == 5.0
    assert window.acknowledged(3, 4.0)
    assert window.resend_at is None
    assert not window.acknowledged(3, 5.0)


def test_a_cloud_that_speaks_again_is_not_kept_waiting() -> None:
    window = LaneWindow.from_lowest(1)
    assert not window.hurry(0.0)
    window.sent(1, 0.0)
    assert not window.hurry(1.0), "the first wait is short enough"
    assert window.tick(2.0)
    window.sent(1, 2.0)
    assert window.hurry(2.5)
    assert window.tick(2.5)
    window.sent(1, 2.5)
    assert window.resend_at == 6.5


def test_a_cloud_that_is_ahead_moves_the_window_along() -> None:
    window = LaneWindow.from_lowest(1)
    assert window.acknowledged(40, 0.0)
    assert window.next_seq == 41
    assert window.resend_at is None


@given(st.lists(st.tuples(st.sampled_from(["send", "ack", "tick"]), st.integers(0, 80))))
def test_never_more_than_a_window_is_under_way(steps: list[tuple[str, int]]) -> None:
    window, now = LaneWindow.from_lowest(1), 0.0
    for what, amount in steps:
        now += 1.0
        if what == "send":
            for _ in range(min(amount, window.room)):
                window.sent(window.next_seq, now)
        elif what == "ack":
            window.acknowledged(min(amount, window.next_seq - 1), now)
        else:
            window.tick(now)
        assert window.acked < window.next_seq <= window.acked + WINDOW + 1
        under_way = window.next_seq > window.acked + 1
        assert (window.resend_at is not None) or not under_way
