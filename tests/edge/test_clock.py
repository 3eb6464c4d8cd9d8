"""When the box's clock is believed."""

from edge.clock import BUILD_MS, ClockGuard
from tests.edge.clocks import FakeClock


def test_a_steady_clock_is_trusted() -> None:
    clock = FakeClock()
    guard = ClockGuard(clock)
    for _ in range(5):
        clock.pass_s(3600)
        assert guard.look() == 0
        assert guard.is_trusted


def test_a_clock_before_the_build_is_not_trusted_until_it_is_set() -> None:
    clock = FakeClock(BUILD_MS - 10_000_000)
    guard = ClockGuard(clock)
    assert not guard.is_trusted
    guard.look()
    assert not guard.is_trusted
    clock.wall_ms = BUILD_MS + 10_000_000
    assert guard.look() == 20_000_000
    assert guard.is_trusted, "it jumped away from a date that was certainly wrong"


def test_a_jump_is_told_once_and_doubted_for_ten_minutes() -> None:
    for jump in (3_600_000, -3_600_000):
        clock = FakeClock()
        guard = ClockGuard(clock)
        clock.wall_ms += jump
        assert guard.look() == jump
        assert guard.look() == 0
        assert not guard.is_trusted
        clock.pass_s(599)
        guard.look()
        assert not guard.is_trusted
        clock.pass_s(2)
        guard.look()
        assert guard.is_trusted


def test_a_minute_of_drift_is_no_jump() -> None:
    clock = FakeClock()
    guard = ClockGuard(clock)
    clock.wall_ms += 60_000
    assert guard.look() == 0
    assert guard.is_trusted
