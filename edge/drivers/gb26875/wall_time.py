"""The six bytes of a wall time in GB/T 26875.3-2011, 8.2.2. Pure.

| offset | field | range |
| --- | --- | --- |
| 0 | second | 0-59 |
| 1 | minute | 0-59 |
| 2 | hour | 0-23 |
| 3 | day | 1-31 |
| 4 | month | 1-12 |
| 5 | year - 2000 | 0-99 |

Each is one plain binary byte, not BCD as is often written; some makers send BCD all the same, a switch per unit. It is
local time without a zone, so a zone must be given.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo

TIME_SIZE = 6


@dataclass(frozen=True, slots=True)
class WallTime:
    """How a unit writes its time."""

    zone: tzinfo
    is_bcd: bool = False

    def read(self, data: bytes) -> datetime | None:
        """Read six bytes; None when they are no date, as a clock with an empty battery sends."""
        if len(data) != TIME_SIZE:
            return None
        numbers = [_from_bcd(byte) for byte in data] if self.is_bcd else list(data)
        second, minute, hour, day, month, year = numbers
        if year > 99:
            return None
        try:
            return datetime(2000 + year, month, day, hour, minute, second, tzinfo=self.zone)
        except ValueError:
            return None

    def read_ms(self, data: bytes) -> int | None:
        """Read six bytes as Unix milliseconds; None when they are no date."""
        moment = self.read(data)
        return None if moment is None else round(moment.timestamp() * 1000)

    def write(self, unix_ms: int) -> bytes:
        """Give the six bytes of a moment; years before 2000 and after 2099 are held at those ends."""
        moment = datetime.fromtimestamp(unix_ms / 1000, self.zone)
        year = min(max(moment.year - 2000, 0), 99)
        parts = (moment.second, moment.minute, moment.hour, moment.day, moment.month, year)
        return bytes(part // 10 << 4 | part % 10 if self.is_bcd else part for part in parts)


def _from_bcd(byte: int) -> int:
    high, low = byte >> 4, byte & 0xF
    return high * 10 + low if high <= 9 and low <= 9 else 255
