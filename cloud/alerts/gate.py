"""How a condition moves: delays on the way up and down, and the hold on one that flaps. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cloud.alerts.model import Condition, Gate, Phase
from cloud.alerts.rule import Flap, Level

LATE: Final = "late"
"""Zone of the conditions that late readings move, by event time instead of the clock."""


def advance(gate: Gate, level: Level, *, value: bool | None, at: int, now: int, late: bool) -> Gate:
    """Move a gate by one input.

    Unknown holds: a rise that has begun goes on (a sensor that burns must not hide its fire), a fall
    begins anew.

    Args:
        gate: as it was.
        level: its delays.
        value: the input; None is unknown.
        at: event time of the input, Unix ms.
        now: steady time, ms.
        late: delays are measured in event time, because the input is history.
    """
    held_ms = at - gate.since if late else -1
    match gate.phase, value:
        case (Phase.PENDING, False):
            return Gate()
        case (Phase.ACTIVE, False) if level.clear_ms == 0:
            return Gate()
        case (Phase.CLEARING, False) if held_ms >= level.clear_ms:
            return Gate()
        case (Phase.ACTIVE, False) | (Phase.CLEARING, None):
            return Gate(Phase.CLEARING, at, now + level.clear_ms)
        case (Phase.NORMAL, True) if level.for_ms > 0:
            return Gate(Phase.PENDING, at, now + level.for_ms)
        case (Phase.NORMAL | Phase.CLEARING, True):
            return Gate(Phase.ACTIVE, at)
        case (Phase.PENDING, True) if held_ms >= level.for_ms:
            return Gate(Phase.ACTIVE, gate.since)
        case _:
            return gate


def expire(gate: Gate, now: int) -> Gate:
    """Move a gate whose delay is over."""
    if gate.due_at is None or gate.due_at > now:
        return gate
    return Gate(Phase.ACTIVE, gate.since) if gate.phase is Phase.PENDING else Gate()


def step(
    condition: Condition,
    levels: Sequence[Level],
    inputs: tuple[bool | None, ...],
    *,
    at: int,
    now: int,
    flap: Flap,
) -> Condition:
    """Move a condition by one input for each gate, delays that are over first.

    A flapping condition is held: only the time without any change ends it (see `wake`).
    """
    before = elapse(condition, now)
    late = condition.zone == LATE
    heard = inputs
    if before.is_flapping:
        heard = tuple(value or None for value in inputs)
    gates = tuple(
        advance(gate, level, value=value, at=at, now=now, late=late)
        for gate, level, value in zip(before.gates, levels, heard, strict=True)
    )
    after = replace(before, gates=gates, inputs=inputs, newest=max(before.newest, at))
    if before.is_flapping:
        return _still_flapping(before, after, now, flap)
    return _mark_change(before, after, now, flap)


def elapse(condition: Condition, now: int) -> Condition:
    """Let delays that are over take effect."""
    gates = tuple(expire(gate, now) for gate in condition.gates)
    return condition if gates == condition.gates else replace(condition, gates=gates)


def wake(condition: Condition, levels: Sequence[Level], now: int) -> Condition:
    """Let time alone act: delays, and the end of flapping."""
    moved = elapse(condition, now)
    if moved.calm_at is None or moved.calm_at > now:
        return moved
    late = condition.zone == LATE
    gates = tuple(
        advance(gate, level, value=value, at=moved.newest, now=now, late=late)
        for gate, level, value in zip(moved.gates, levels, moved.inputs, strict=True)
    )
    return replace(moved, gates=gates, is_flapping=False, calm_at=None, changes=())


def _still_flapping(before: Condition, after: Condition, now: int, flap: Flap) -> Condition:
    if after.inputs == before.inputs:
        return after
    return replace(after, calm_at=now + flap.within_s * 1000)


def _mark_change(before: Condition, after: Condition, now: int, flap: Flap) -> Condition:
    if (before.phase is Phase.ACTIVE) == (after.phase is Phase.ACTIVE):
        return after
    window_ms = flap.within_s * 1000
    recent = tuple(change for change in before.changes if change > now - window_ms)
    changes = (*recent, now)[-flap.changes :]
    if len(changes) < flap.changes:
        return replace(after, changes=changes)
    gates = tuple(
        Gate(Phase.ACTIVE, was.since) if was.is_on or gate.is_on else gate
        for was, gate in zip(before.gates, after.gates, strict=True)
    )
    return replace(after, gates=gates, changes=changes, is_flapping=True, calm_at=now + window_ms)
