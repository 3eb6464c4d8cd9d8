"""Captured Modbus bytes to frames. Pure. Modbus Application Protocol V1.1b3; Modbus over serial line V1.02, 2.5.

RTU, also inside TCP:

| offset | length | field |
| --- | --- | --- |
| 0 | 1 | unit |
| 1 | 1 | function; +80h in an exception |
| 2 | n | data |
| 2+n | 2 | CRC-16, polynomial A001 reflected, start FFFF, low byte first |

Modbus TCP (MBAP):

| offset | length | field |
| --- | --- | --- |
| 0 | 2 | transaction |
| 2 | 2 | protocol, 0 |
| 4 | 2 | length of what follows |
| 6 | 1 | unit |
| 7 | n | function and data, no CRC |

Neither says whether a frame is a request or a response: the length tells it, and where both fit the frame before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge.driver import CaptureRow

EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "accepted, takes long",
    6: "busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway got no answer",
}
FRAME_LIMIT: Final = 256
_READS: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}
_BITS: Final = {1, 2}
_Fields = dict[str, Any]


def crc16(data: bytes) -> int:
    """Give the CRC-16 of Modbus; on the wire its low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        crc = number
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: `fields` are those of `CaptureRow`, without transport; `size` counts its bytes."""

    unit: int
    function: int
    size: int
    fields: Mapping[str, Any] = field(default_factory=dict)


def response_frame(buffer: bytes, unit: int, function: int, size: int) -> bytes | None:
    """Find the answer to an outstanding RTU request among the bytes received since it was sent.

    Bytes before it (noise, a late answer of another unit, our own echo) are passed over, so that neither spoils it.

    Args:
        buffer: everything received since the request left.
        unit: unit that was asked.
        function: function that was asked.
        size: length of the expected answer with its CRC; an exception takes 5.

    Returns:
        The whole frame with its CRC, or None while it is not there.
    """
    for at in range(len(buffer) - 4):
        if buffer[at] != unit:
            continue
        code = buffer[at + 1]
        length = size if code == function else 5 if code == function | 0x80 else 0
        candidate = buffer[at : at + length]
        if length and len(candidate) == length and _has_crc(candidate):
            return candidate
    return None


def _has_crc(frame: bytes) -> bool:
    return len(frame) >= 4 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def decode(data: bytes) -> Iterator[CaptureRow]:
    """Find the frames in captured bytes of a serial line or a TCP stream.

    Args:
        data: any bytes.

    Yields:
        A row per frame, and a row with `ok` false for every stretch that is none.
    """
    at, skipped = 0, 0
    context: dict[tuple[int, int], str] = {}
    while at < len(data):
        frame = _rtu_at(data, at, context) or _tcp_at(data, at, context)
        if frame is None:
            at, skipped = at + 1, skipped + 1
            continue
        if skipped:
            yield _skip_row(skipped)
            skipped = 0
        at += frame.size
        context[frame.unit, frame.function] = str(frame.fields["direction"])
        yield CaptureRow(ok=True, consumed=frame.size, fields=frame.fields)
    if skipped:
        yield _skip_row(skipped)


def _skip_row(count: int) -> CaptureRow:
    return CaptureRow(
        ok=False, consumed=count, fields={}, error="no Modbus frame: no CRC or length fits"
    )


def _rtu_at(data: bytes, at: int, context: Mapping[tuple[int, int], str]) -> Frame | None:
    window = data[at : at + FRAME_LIMIT]
    if len(window) < 4:
        return None
    for size in _rtu_sizes(window):
        frame = window[:size]
        if len(frame) == size and _has_crc(frame):
            found = _parse(frame[0], frame[1:-2], context)
            if found is not None:
                fields = {"transport": "rtu", "crc_ok": True, **found}
                return Frame(frame[0], frame[1] & 0x7F, size, fields)
    return None


def _rtu_sizes(window: bytes) -> Sequence[int]:
    """Give the lengths that a frame starting here may have, by its function and counts."""
    function = window[1]
    if function & 0x80:
        return (5,)
    if function in _READS:
        return (5 + window[2], 8)
    if function in {5, 6, 8}:
        return (8,)
    if function in {15, 16}:
        return (8, 9 + window[6]) if len(window) > 6 else (8,)
    if function == 22:
        return (10,)
    # A function that we do not know: only when the CRC closes all the bytes there are.
    return (len(window),) if 0 < function < 0x80 else ()


def _tcp_at(data: bytes, at: int, context: Mapping[tuple[int, int], str]) -> Frame | None:
    head = data[at : at + 7]
    if len(head) < 7 or head[2:4] != b"\0\0":
        return None
    length = int.from_bytes(head[4:6], "big")
    body = data[at + 7 : at + 6 + length]
    if not 2 <= length <= 254 or len(body) != length - 1:
        return None
    found = _parse(head[6], body, context)
    if found is None or "data_hex" in found:
        return None
    fields = {"transport": "tcp", "transaction": int.from_bytes(head[:2], "big"), **found}
    return Frame(head[6], body[0] & 0x7F, 6 + length, fields)


def _parse(unit: int, pdu: bytes, context: Mapping[tuple[int, int], str]) -> _Fields | None:
    """Read function and data; None when they fit neither a request nor a response."""
    function, data = pdu[0], pdu[1:]
    if function & 0x80:
        return _exception(unit, function & 0x7F, data)
    request = _request(function, data)
    response = _response(function, data)
    if request is None and response is None:
        known = function in {*_READS, 5, 6, 15, 16}
        unknown = {"unit": unit, "direction": "unknown", "function": function}
        return None if known or not function else {**unknown, "data_hex": data.hex().upper()}
    was_asked = context.get((unit, function)) == "request"
    if response is not None and (request is None or was_asked):
        return {"unit": unit, "direction": "response", "function": function, **response}
    return {"unit": unit, "direction": "request", "function": function, **(request or {})}


def _exception(unit: int, function: int, data: bytes) -> _Fields | None:
    if len(data) != 1 or not function:
        return None
    return {
        "unit": unit,
        "direction": "response",
        "function": function,
        "exception": data[0],
        "exception_name": EXCEPTIONS.get(data[0], "unknown"),
    }


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _words(data: bytes) -> list[int]:
    return [_word(data, at) for at in range(0, len(data), 2)]


def _bits(data: bytes, count: int) -> list[int]:
    return [data[at // 8] >> at % 8 & 1 for at in range(count)]


def _request(function: int, data: bytes) -> _Fields | None:
    if function in _READS:
        count = _word(data, 2)
        fits = len(data) == 4 and 1 <= count <= _READS[function]
        return {"address": _word(data, 0), "count": count} if fits else None
    if function in {5, 6}:
        return _written_one(function, data)
    if function not in {15, 16} or len(data) < 6 or len(data) != 5 + data[4]:
        return None
    count = _word(data, 2)
    if data[4] != (count * 2 if function == 16 else -(-count // 8)):
        return None
    values = {"registers": _words(data[5:])} if function == 16 else {"bits": _bits(data[5:], count)}
    return {"address": _word(data, 0), "count": count, **values}


def _written_one(function: int, data: bytes) -> _Fields | None:
    if len(data) != 4 or (function == 5 and data[2:] not in {b"\xff\0", b"\0\0"}):
        return None
    value = _word(data, 2)
    what = {"bits": [int(bool(value))]} if function == 5 else {"registers": [value]}
    return {"address": _word(data, 0), "count": 1, **what}


def _response(function: int, data: bytes) -> _Fields | None:
    if function in _READS:
        if len(data) < 2 or len(data) != 1 + data[0]:
            return None
        if function in _BITS:
            return {"bits": _bits(data[1:], data[0] * 8)}
        return {"registers": _words(data[1:]), "count": data[0] // 2} if data[0] % 2 == 0 else None
    if function in {5, 6}:
        return _written_one(function, data)
    if function in {15, 16} and len(data) == 4:
        return {"address": _word(data, 0), "count": _word(data, 2)}
    return None
