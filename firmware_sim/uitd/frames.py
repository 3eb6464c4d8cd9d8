r"""Frames of GB/T 26875.3-2011, seen from the device.

| offset | size | field                                                            |
| 0      | 2    | 40 40                                                            |
| 2      | 2    | serial, low byte first; an answer repeats it                     |
| 4      | 2    | version: 1, user's own                                           |
| 6      | 6    | second minute hour day month year-2000, each a plain binary byte |
| 12     | 6    | source address, low byte first                                   |
| 18     | 6    | target address, low byte first                                   |
| 24     | 2    | length n of the application data, low byte first, at most 1024   |
| 26     | 1    | command                                                          |
| 27     | n    | application data: type, count, objects                           |
| 27+n   | 1    | sum of the bytes 2 .. 26+n, mod 256                              |
| 28+n   | 2    | 23 23                                                            |

Source: clauses 6.6 (frame), 7 (application data), 8.2 (objects).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from firmware_sim.clock import local_time

HEAD: Final = b"@@"
TAIL: Final = b"##"
OVERHEAD: Final = 30
APP_LIMIT: Final = 1024
BUFFER_LIMIT: Final = 8192
STATES_PER_FRAME: Final = 22
TEXT_SIZE: Final = 31
DEAD_CLOCK: Final = bytes([0, 0, 0, 1, 1, 0])  # 2000-01-01 00:00:00, a clock without battery


class Command(IntEnum):
    """What a frame is for (table 2)."""

    CONTROL = 1
    SEND = 2
    CONFIRM = 3
    REQUEST = 4
    ANSWER = 5
    DENY = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `time` holds its 6 bytes, `app` the application data unit, empty in answers and heartbeats."""

    serial: int
    source: int
    target: int
    command: int
    app: bytes = b""
    time: bytes = DEAD_CLOCK
    user_version: int = 1

    def pack(self) -> bytes:
        """Give the bytes of the frame.

        Raises:
            ValueError: the application data exceed 1024 bytes.
        """
        if len(self.app) > APP_LIMIT:
            raise ValueError(f"application data of {len(self.app)} bytes, at most {APP_LIMIT}")
        body = struct.pack("<HBB", self.serial & 0xFFFF, 1, self.user_version) + self.time
        body += self.source.to_bytes(6, "little") + self.target.to_bytes(6, "little")
        body += struct.pack("<HB", len(self.app), self.command) + self.app
        return HEAD + body + bytes([sum(body) & 0xFF]) + TAIL


class Reader:
    """Finds frames in a TCP stream; after a false start it looks on one byte further."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> list[Frame]:
        """Take bytes and give the frames that are complete and correct, in order."""
        self._buffer += received
        del self._buffer[:-BUFFER_LIMIT]
        found: list[Frame] = []
        while True:
            start = self._buffer.find(HEAD)
            if start < 0:
                del self._buffer[: max(0, len(self._buffer) - 1)]
                return found
            del self._buffer[:start]
            if len(self._buffer) < 27:
                return found
            length = int.from_bytes(self._buffer[24:26], "little")
            size = length + OVERHEAD
            if length <= APP_LIMIT and len(self._buffer) < size:
                return found
            frame = _unpack(bytes(self._buffer[:size])) if length <= APP_LIMIT else None
            if frame is not None:
                found.append(frame)
            del self._buffer[: size if frame is not None else 1]


def _unpack(raw: bytes) -> Frame | None:
    body = raw[2:-3]
    if raw[-2:] != TAIL or sum(body) & 0xFF != raw[-3]:
        return None
    return Frame(
        serial=int.from_bytes(raw[2:4], "little"),
        user_version=raw[5],
        time=raw[6:12],
        source=int.from_bytes(raw[12:18], "little"),
        target=int.from_bytes(raw[18:24], "little"),
        command=raw[26],
        app=raw[27:-3],
    )


def time_bytes(unix_ms: int) -> bytes:
    """Give local wall time as the standard sends it (8.2.2): six plain binary bytes."""
    at = local_time(unix_ms)
    return bytes([at.second, at.minute, at.hour, at.day, at.month, at.year % 100])


def text_bytes(text: str) -> bytes:
    """Give a description of 31 bytes: GB 18030, never cut within a character, padded with NUL."""
    raw = b""
    for letter in text:
        code = letter.encode("gb18030")
        if len(raw) + len(code) > TEXT_SIZE:
            break
        raw += code
    return raw.ljust(TEXT_SIZE, b"\0")


@dataclass(frozen=True, slots=True)
class ComponentKey:
    """How a detector is named on the wire: its system and, below it, zone and point."""

    system: int
    system_address: int
    zone: int
    point: int

    def pack(self) -> bytes:
        """Give the 4 bytes of the component address: zone then point, low bytes first."""
        return struct.pack("<HH", self.zone, self.point)


def app_unit(kind: int, objects: Sequence[bytes]) -> bytes:
    """Put objects of one kind into an application data unit."""
    return bytes([kind, len(objects)]) + b"".join(objects)


def component_state(key: ComponentKey, kind: int, state: int, text: str, time: bytes) -> bytes:
    """Pack one object of type 2, 46 bytes (8.2.1.2)."""
    head = struct.pack("<BBB", key.system, key.system_address, kind) + key.pack()
    return head + struct.pack("<H", state) + text_bytes(text) + time


def system_state(system: int, address: int, state: int, time: bytes) -> bytes:
    """Pack one object of type 1, 10 bytes (8.2.1.1)."""
    return struct.pack("<BBH", system, address, state) + time


def operation(system: int, address: int, flags: int, operator: int, time: bytes) -> bytes:
    """Pack one object of type 4, 10 bytes (8.2.1.4)."""
    return bytes([system, address, flags, operator]) + time


def chunks(items: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    """Cut a list into pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
