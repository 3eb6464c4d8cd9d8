r"""Modbus on the wire, seen from the slave.

Serial line and RTU over TCP            Modbus TCP
| size | field                        | | size | field                           |
| 1    | unit, 0 = everybody, mute    | | 2    | transaction, echoed             |
| 1..  | function and data            | | 2    | protocol, always 0              |
| 2    | CRC-16, low byte first       | | 2    | length of what follows, 2..254  |
                                      | | 1    | unit                            |
                                      | | 1..  | function and data               |

Source: Modbus over Serial Line V1.02, 2.5.1 and 6.2.2; Messaging on TCP/IP V1.0b, 3.1.3.
"""

import struct
from dataclasses import dataclass
from typing import Final

BUFFER_LIMIT: Final = 1024
_FIXED_LENGTH: Final = frozenset({1, 2, 3, 4, 5, 6})
_COUNTED: Final = frozenset({15, 16})


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_TABLE: Final = _crc_table()


def crc16(frame: bytes) -> bytes:
    """Give the two check bytes of a frame in the order in which they are sent."""
    crc = 0xFFFF
    for byte in frame:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return struct.pack("<H", crc)


@dataclass(frozen=True, slots=True)
class Request:
    """What a master wants: `pdu` is the function code with its data; `transaction` is 0 on serial lines."""

    unit: int
    pdu: bytes
    transaction: int = 0
    size: int = 0


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Pack a serial frame with its check bytes."""
    body = bytes([unit]) + pdu
    return body + crc16(body)


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Pack a Modbus TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


class RtuReader:
    """Finds requests in a stream of serial bytes; a byte that begins no valid request is skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def clear(self) -> None:
        """Forget a half-received request, as a slave does after a silent interval."""
        self._buffer.clear()

    @property
    def is_waiting(self) -> bool:
        """Tell whether a request has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, received: bytes) -> list[Request]:
        """Take bytes and give the requests that are complete, in order."""
        self._buffer += received
        del self._buffer[:-BUFFER_LIMIT]
        found: list[Request] = []
        while len(self._buffer) >= 4:
            size = self._size()
            if size is None or len(self._buffer) < size:
                break
            frame = bytes(self._buffer[:size])
            if crc16(frame[:-2]) == frame[-2:]:
                found.append(Request(frame[0], frame[1:-2], 0, size))
                del self._buffer[:size]
            else:
                del self._buffer[0]
        return found

    def _size(self) -> int | None:
        function = self._buffer[1]
        if function in _FIXED_LENGTH:
            return 8
        if function in _COUNTED:
            return 9 + self._buffer[6] if len(self._buffer) > 6 else None
        # The length of a foreign function is unknown: what lies here now is taken as the whole frame.
        return len(self._buffer)


class TcpReader:
    """Finds requests in a Modbus TCP stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def clear(self) -> None:
        """Do nothing: on TCP a pause means nothing."""

    @property
    def is_waiting(self) -> bool:
        """Tell whether a request has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, received: bytes) -> list[Request]:
        """Take bytes and give the requests that are complete, in order.

        Raises:
            ValueError: the stream is not Modbus TCP; the connection must be closed.
        """
        self._buffer += received
        found: list[Request] = []
        while len(self._buffer) >= 7:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._buffer)
            if protocol or not 2 <= length <= 254:
                raise ValueError(f"no Modbus TCP: protocol {protocol}, length {length}")
            if len(self._buffer) < 6 + length:
                break
            pdu = bytes(self._buffer[7 : 6 + length])
            found.append(Request(unit, pdu, transaction, 6 + length))
            del self._buffer[: 6 + length]
        return found
