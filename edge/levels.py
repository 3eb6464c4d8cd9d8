"""Which alarm bits are on, by device and kind: what is worth telling, and what is told already.

One kind of one device may have several sources (two systems of one panel, a register and an open loop): it is off only
when all of them are off. Changes are staged and take effect by `commit`, after they are on disk.
"""

from collections.abc import Hashable

_Key = tuple[str, str]


class AlarmLevels:
    """The levels as last told; empty after a start, so that the first look at a device tells everything."""

    def __init__(self) -> None:
        self._active: dict[_Key, frozenset[Hashable]] = {}

    def stage(self) -> "StagedLevels":
        """Begin a set of changes over the levels as they stand."""
        return StagedLevels(self._active)

    def is_active(self, device_id: str, kind: str) -> bool:
        """Tell whether any source of this alarm is on."""
        return bool(self._active.get((device_id, kind)))


class StagedLevels:
    """Changes that are not yet on disk; dropped by forgetting them."""

    def __init__(self, told: dict[_Key, frozenset[Hashable]]) -> None:
        self._told = told
        self._changed: dict[_Key, frozenset[Hashable]] = {}

    def change(
        self,
        device_id: str,
        kind: str,
        source: Hashable,
        *,
        is_active: bool,
        insists: bool = False,
        tells_first_off: bool = True,
    ) -> bool:
        """Note one bit and tell whether it must be delivered.

        Args:
            device_id: the device the alarm is raised for.
            kind: kind of alarm.
            source: which of the device's sources says so.
            is_active: the bit.
            insists: the device reports it afresh, so "on" is delivered even when it was on before: somebody may have
                closed the alert meanwhile.
            tells_first_off: deliver "off" when nothing is known yet, for an alert that may be open since before the
                start.
        """
        key = (device_id, kind)
        before = self._changed.get(key, self._told.get(key))
        known = before or frozenset()
        if is_active:
            self._changed[key] = known | {source}
            return insists or source not in known
        after = known - {source}
        self._changed[key] = after
        if after:
            return False
        return tells_first_off if before is None else source in known

    def commit(self) -> None:
        """Make the changes count; call it after they are on disk."""
        self._told.update(self._changed)
        self._changed = {}
