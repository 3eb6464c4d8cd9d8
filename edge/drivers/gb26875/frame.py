"""Frames of GB/T 26875.3-2011, clause 8: find them in a stream, write them. Pure.

| offset | length | field |
| --- | --- | --- |
| 0 | 2 | start `40 40` |
| 2 | 2 | serial, low byte first; chosen by whoever begins, repeated in the answer |
| 4 | 2 | version: main, user |
| 6 | 6 | time of sending, see wall_time.py |
| 12 | 6 | source address, low byte first |
| 18 | 6 | target address, low byte first |
| 24 | 2 | length n of the application data, low byte first, at most 1024 |
| 26 | 1 | command |
| 27 | n | application data |
| 27+n | 1 | sum of the bytes 2 to 26+n, modulo 256 |
| 28+n | 2 | end `23 23` |

`23 23` may stand inside the data, so only length, sum and end together make a frame. Where they do not, one byte is
passed over and the search goes on: a damaged length must not swallow the fire that follows.
"""

from dataclasses import dataclass
from typing import Final

START: Final = b"@@"
END: Final = b"##"
HEADER_SIZE: Final = 27
FRAME_EXTRA: Final = 30
APP_LIMIT: Final = 1024
FRAME_LIMIT: Final = FRAME_EXTRA + APP_LIMIT
ADDRESS_LIMIT: Final = (1 << 48) - 1
_NO_START: Final = "no start marker"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `time` holds the six raw bytes, `raw` everything as received."""

    serial: int
    version: tuple[int, int]
    time: bytes
    source: int
    target: int
    command: int
    app: bytes
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Bytes that are no frame.

    `damaged` is the header of a frame with the right end but a wrong sum: its sender can be told to repeat it.
    """

    size: int
    reason: str
    damaged: Frame | None = None


_TOO_LONG: Final = Skipped(1, f"the length is over {APP_LIMIT}")
_NO_END: Final = Skipped(1, "no end marker where the length puts it")


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found in a buffer; the bytes from `rest` on are the beginning of a frame, or nothing.

    `missing` tells how many bytes that beginning still lacks, as far as can be known.
    """

    found: list[Frame | Skipped]
    rest: int
    missing: int


def scan(buffer: bytes) -> Scan:
    """Find all frames in a buffer.

    A beginning whose frame is not whole yet is waited for, unless a whole frame stands behind it: then its length was
    damaged. Less than one frame's length of bytes is ever left waiting.
    """
    state = _Scanning()
    start = buffer.find(START)
    while start >= 0:
        look = _look_at(buffer, start)
        if isinstance(look, Frame):
            state.take(look, start)
            start = buffer.find(START, state.done)
            continue
        if isinstance(look, int):
            state.wait(start, look)
        else:
            state.pass_over(look, start)
        start = buffer.find(START, start + 1)
    return state.finish(buffer)


class _Scanning:
    """Where a scan stands: everything before `done` is accounted for, `waiting` begins an unfinished frame."""

    def __init__(self) -> None:
        self.found: list[Frame | Skipped] = []
        self.done = 0
        self.waiting: int | None = None
        self.missing = 0
        self._reason = _NO_START
        self._damaged: Frame | None = None

    def take(self, frame: Frame, start: int) -> None:
        if self.waiting is not None:
            self._reason = "the length is damaged, a whole frame follows"
        self._skip_to(start)
        self.found.append(frame)
        self.done = start + len(frame.raw)
        self.waiting = None

    def wait(self, start: int, missing: int) -> None:
        if self.waiting is None:
            self.waiting, self.missing = start, missing

    def pass_over(self, bad: Skipped, start: int) -> None:
        if self.waiting is not None:
            return
        if bad.damaged is not None:
            self._skip_to(start)
        if self._reason == _NO_START:
            self._reason, self._damaged = bad.reason, bad.damaged

    def finish(self, buffer: bytes) -> Scan:
        if self.waiting is None:
            # A single @ at the end may be half a start marker.
            is_half = buffer.endswith(START[:1]) and len(buffer) > self.done
            self.waiting = len(buffer) - is_half
            self.missing = FRAME_EXTRA - is_half
        self._skip_to(self.waiting)
        return Scan(self.found, self.done, self.missing if self.done < len(buffer) else 0)

    def _skip_to(self, end: int) -> None:
        if end > self.done:
            self.found.append(Skipped(end - self.done, self._reason, self._damaged))
            self.done = end
        self._reason, self._damaged = _NO_START, None


def _look_at(buffer: bytes, start: int) -> Frame | Skipped | int:
    """Give the frame that starts here, why there is none, or how many bytes it lacks."""
    available = len(buffer) - start
    if available < HEADER_SIZE:
        return FRAME_EXTRA - available
    length = int.from_bytes(buffer[start + 24 : start + 26], "little")
    if length > APP_LIMIT:
        return _TOO_LONG
    size = FRAME_EXTRA + length
    if available < size:
        return size - available
    if not buffer.startswith(END, start + size - len(END)):
        return _NO_END
    raw = buffer[start : start + size]
    frame = _read(raw)
    if checksum(raw) != raw[-3]:
        reason = f"checksum is {raw[-3]:02X}, {checksum(raw):02X} computed"
        return Skipped(1, reason, frame)
    return frame


def _read(raw: bytes) -> Frame:
    return Frame(
        serial=int.from_bytes(raw[2:4], "little"),
        version=(raw[4], raw[5]),
        time=raw[6:12],
        source=int.from_bytes(raw[12:18], "little"),
        target=int.from_bytes(raw[18:24], "little"),
        command=raw[26],
        app=raw[27:-3],
        raw=raw,
    )


def checksum(raw: bytes) -> int:
    """Give the sum that a whole frame must carry."""
    return sum(raw[2:-3]) & 0xFF


def encode(frame: Frame) -> bytes:
    """Write a frame; `raw` is not looked at.

    Raises:
        ValueError: application data over 1024 bytes, time not 6 bytes, or a number beyond its field.
    """
    if len(frame.app) > APP_LIMIT or len(frame.time) != 6:
        raise ValueError(f"{len(frame.app)} bytes of data, {len(frame.time)} bytes of time")
    try:
        body = b"".join(
            (
                frame.serial.to_bytes(2, "little"),
                bytes(frame.version),
                frame.time,
                frame.source.to_bytes(6, "little"),
                frame.target.to_bytes(6, "little"),
                len(frame.app).to_bytes(2, "little"),
                bytes((frame.command,)),
                frame.app,
            )
        )
    except OverflowError as error:
        raise ValueError(f"a number is beyond its field: {error}") from None
    return START + body + bytes((sum(body) & 0xFF,)) + END


def answer(frame: Frame, command: int, time: bytes) -> bytes:
    """Write the answer to a frame without data: its serial and version, addresses swapped, our own time.

    Args:
        frame: what is answered.
        command: confirm (3) or deny (6).
        time: six bytes.
    """
    reply = Frame(frame.serial, frame.version, time, frame.target, frame.source, command, b"")
    return encode(reply)


class FrameScanner:
    """Frames out of a stream; holds less than one frame's length of bytes."""

    def __init__(self) -> None:
        self._buffer = b""

    @property
    def pending(self) -> int:
        """Count the bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | Skipped]:
        """Take what has arrived and give what is complete."""
        self._buffer += data
        result = scan(self._buffer)
        self._buffer = self._buffer[result.rest :]
        return result.found
