"""Which objects were kept already: a device sends again until it hears the confirmation. Pure.

Serial numbers may always be 0 and clocks may stand still, so a known object is no proof: it may still raise an alarm
whose level has gone since. It is only not told twice while the level stands.
"""

from collections import OrderedDict
from typing import Any, Final

KEYS_LIMIT: Final = 4096
KEEP_S: Final = 6 * 3600.0
KEEP_UNDATED_S: Final = 60.0
"""A resend comes within 4 times 10 s; without a date, what comes later is news."""

Key = tuple[int, int, bytes]


class Resends:
    """The objects of one unit that are on disk, by serial, type and bytes (which hold the object's time)."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, float] = OrderedDict()

    def is_known(self, key: Key, fields: dict[str, Any], now_s: float) -> bool:
        """Tell whether the object was kept before; one without a date only within a minute."""
        at_s = self._kept.get(key)
        if at_s is None:
            return False
        is_dated = fields.get("time_ms") is not None
        return now_s - at_s <= (KEEP_S if is_dated else KEEP_UNDATED_S)

    def keep(self, keys: list[Key], now_s: float) -> None:
        """Note objects as kept; the oldest are forgotten beyond 4096."""
        for key in keys:
            self._kept[key] = now_s
            self._kept.move_to_end(key)
        while len(self._kept) > KEYS_LIMIT:
            self._kept.popitem(last=False)
