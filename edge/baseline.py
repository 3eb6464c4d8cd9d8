"""Levels that are off when a device is first looked at: told for the sake of alerts left open, but never before a fire.

After a start every bit of every device is "off" for the first time, a thousand messages on a full node. They clear
alerts that were open when the node went down and nothing else, so they wait here, in memory, and go up in small
portions while the alarm lane is nearly empty. A node that dies before they are told looks at its devices anew.
"""

from collections.abc import Hashable, Sequence

from edge.driver import DeviceAlarm


class Baseline:
    """Which levels have spoken since the start, and the first "off"s that wait; bounded by the configuration."""

    def __init__(self) -> None:
        self._spoken: set[Hashable] = set()
        self._waiting: dict[Hashable, DeviceAlarm] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def sift(self, alarms: Sequence[DeviceAlarm]) -> tuple[list[DeviceAlarm], list[DeviceAlarm]]:
        """Part what must go at once from mere first "off"s: no danger, and no end of one told since the start."""
        urgent: list[DeviceAlarm] = []
        later: list[DeviceAlarm] = []
        spoken = {_key(alarm) for alarm in alarms if alarm.is_active}
        for alarm in alarms:
            is_known = _key(alarm) in spoken or _key(alarm) in self._spoken
            (urgent if alarm.is_active or is_known else later).append(alarm)
        return urgent, later

    def accept(self, told: Sequence[DeviceAlarm], waiting: Sequence[DeviceAlarm]) -> None:
        """Note what was just put on disk, which outdates what waits for the same level, and what is to wait."""
        for alarm in told:
            self._spoken.add(_key(alarm))
            self._waiting.pop(_key(alarm), None)
        for alarm in waiting:
            key = _key(alarm)
            if key not in self._spoken:
                self._spoken.add(key)
                self._waiting[key] = alarm

    def take(self, limit: int) -> list[DeviceAlarm]:
        """Take out up to `limit` that wait, the longest waiting first."""
        keys = list(self._waiting)[:limit]
        return [self._waiting.pop(key) for key in keys]

    def give_back(self, alarms: Sequence[DeviceAlarm]) -> None:
        """Let alarms wait again that could not be told now."""
        self._waiting = {_key(alarm): alarm for alarm in alarms} | self._waiting


def _key(alarm: DeviceAlarm) -> Hashable:
    return alarm.device_id, alarm.kind, alarm.detail.get("is_sum")
