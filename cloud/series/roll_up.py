"""Keeping the hourly roll-up: hours are summed once they are over, and again when late readings joined them."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from cloud.kit import hot
from cloud.kit.duck import Duck
from cloud.series import segment_store, store
from cloud.series.model import HOUR_MS

_HOURS_AT_ONCE: Final = 24
_ROWS_AT_ONCE: Final = 4_000_000
_ROLLS_PER_COMMIT: Final = 2_000


class RollUp:
    """Sums whole hours from segments into the `roll` table, always anew, so that doing it twice changes nothing.

    Args:
        connection: of the compactor.
        duck: of the compactor.
        folder: where segments lie.
        reached: see `Compactor`.
    """

    def __init__(
        self, connection: hot.Connection, duck: Duck, folder: Path, reached: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._duck = duck
        self._folder = folder
        self._reached = reached

    def step(self, until: int, oldest: int) -> int:
        """Roll up the next hours that need it, at most those of one day.

        Args:
            until: hours since the epoch before this one are over.
            oldest: readings before this hour may be thinned out already, so its roll-up is final.

        Returns:
            Hours done; 0 when all is up to date.
        """
        late = store.dirty(self._connection, -(1 << 40), 1 << 40)
        final = [hour for hour in late if hour < oldest]
        if final:
            with hot.writing(self._connection):
                store.forget_dirty(self._connection, final)
        late = [hour for hour in late if hour >= oldest]
        if late:
            hours = _first_day(late)
            self._sum(hours)
            with hot.writing(self._connection):
                store.forget_dirty(self._connection, hours)
            return len(hours)
        return self._advance(until)

    def _advance(self, until: int) -> int:
        begin = store.rolled_until(self._connection)
        if begin >= until:
            return 0
        held: set[int] = set()
        for segment in store.segments(self._connection, begin * HOUR_MS, until * HOUR_MS):
            first = max(begin, segment.t0 // HOUR_MS)
            held.update(range(first, min(until, segment.t1 // HOUR_MS + 1)))
        hours = _first_day(sorted(held))
        if hours:
            self._sum(hours)
        with hot.writing(self._connection):
            store.set_rolled_until(
                self._connection, until if len(hours) == len(held) else hours[-1] + 1
            )
        self._reached("rolled")
        return len(hours)

    def _sum(self, hours: Sequence[int]) -> None:
        low, high = hours[0] * HOUR_MS, (hours[-1] + 1) * HOUR_MS
        paths = [self._folder / s.name for s in store.segments(self._connection, low, high)]
        if not paths:
            return
        for rolls in segment_store.roll_hours(self._duck, paths, hours, _ROWS_AT_ONCE):
            for at in range(0, len(rolls), _ROLLS_PER_COMMIT):
                with hot.writing(self._connection):
                    store.put_rolls(self._connection, rolls[at : at + _ROLLS_PER_COMMIT])
                self._reached("rolling")


def _first_day(hours: Sequence[int]) -> list[int]:
    for _, group in groupby(hours, key=lambda hour: hour // 24):
        return list(group)[:_HOURS_AT_ONCE]
    return []
