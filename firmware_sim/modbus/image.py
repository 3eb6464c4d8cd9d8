"""The memory of a slave and what the functions 1-6, 15 and 16 do with it.

Source: Modbus Application Protocol V1.1b3, 6.1-6.6, 6.11, 6.12 and 7 (exceptions).
"""

import struct
from collections.abc import Callable
from typing import Final

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3

WriteHook = Callable[[str, int, int], None]


class SlaveExceptionError(Exception):
    """The slave refuses: answer with the exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Image:
    """The four tables of a slave; addresses that are not in a table do not exist.

    `on_write(table, address, value)` is told of every accepted write, table being `coils` or `holding`.
    """

    def __init__(self, on_write: WriteHook | None = None) -> None:
        self.holding: dict[int, int] = {}
        self.inputs: dict[int, int] = {}
        self.coils: dict[int, int] = {}
        self.contacts: dict[int, int] = {}
        self.writable: set[int] = set()
        self.on_write = on_write

    def set_holding(self, address: int, value: int) -> None:
        """Set a holding register from a signed or unsigned 16-bit number."""
        self.holding[address] = value & 0xFFFF

    def answer(self, pdu: bytes) -> bytes:
        """Carry out a request and give the answer, an exception answer when it is refused."""
        function = pdu[0]
        try:
            return bytes([function]) + self._carry_out(function, pdu[1:])
        except SlaveExceptionError as refusal:
            return bytes([function | 0x80, refusal.code])
        except struct.error:
            return bytes([function | 0x80, ILLEGAL_VALUE])

    def _carry_out(self, function: int, body: bytes) -> bytes:
        match function:
            case 1 | 2:
                return self._read_bits(self.coils if function == 1 else self.contacts, body)
            case 3 | 4:
                return self._read_words(self.holding if function == 3 else self.inputs, body)
            case 5:
                return self._write_coil(body)
            case 6:
                return self._write_word(body)
            case 15:
                return self._write_coils(body)
            case 16:
                return self._write_words(body)
        raise SlaveExceptionError(ILLEGAL_FUNCTION)

    def _read_bits(self, table: dict[int, int], body: bytes) -> bytes:
        start, count = _span(body, 2000)
        bits = [_value(table, start + index) for index in range(count)]
        packed = bytearray((count + 7) // 8)
        for index, bit in enumerate(bits):
            packed[index // 8] |= bit << index % 8
        return bytes([len(packed)]) + bytes(packed)

    def _read_words(self, table: dict[int, int], body: bytes) -> bytes:
        start, count = _span(body, 125)
        words = [_value(table, start + index) for index in range(count)]
        return bytes([2 * count]) + struct.pack(f">{count}H", *words)

    def _write_coil(self, body: bytes) -> bytes:
        address, value = struct.unpack(">HH", body)
        if value not in {0x0000, 0xFF00}:
            raise SlaveExceptionError(ILLEGAL_VALUE)
        self._store("coils", {address: int(value == 0xFF00)})
        return body

    def _write_word(self, body: bytes) -> bytes:
        address, value = struct.unpack(">HH", body)
        self._store("holding", {address: value})
        return body

    def _write_coils(self, body: bytes) -> bytes:
        start, count = _span(body[:4], 1968)
        packed = body[5:]
        if len(body) < 5 or body[4] != len(packed) or len(packed) != (count + 7) // 8:
            raise SlaveExceptionError(ILLEGAL_VALUE)
        bits = {start + index: packed[index // 8] >> index % 8 & 1 for index in range(count)}
        self._store("coils", bits)
        return body[:4]

    def _write_words(self, body: bytes) -> bytes:
        start, count = _span(body[:4], 123)
        if len(body) < 5 or body[4] != 2 * count or len(body) != 5 + 2 * count:
            raise SlaveExceptionError(ILLEGAL_VALUE)
        words = struct.unpack(f">{count}H", body[5:])
        self._store("holding", dict(enumerate(words, start)))
        return body[:4]

    def _store(self, name: str, values: dict[int, int]) -> None:
        table = self.coils if name == "coils" else self.holding
        for address in values:
            if address not in table or (name == "holding" and address not in self.writable):
                raise SlaveExceptionError(ILLEGAL_ADDRESS)
        table.update(values)
        if self.on_write is not None:
            for address, value in values.items():
                self.on_write(name, address, value)


def _span(body: bytes, limit: int) -> tuple[int, int]:
    start, count = struct.unpack(">HH", body)
    if not 1 <= count <= limit:
        raise SlaveExceptionError(ILLEGAL_VALUE)
    return start, count


def _value(table: dict[int, int], address: int) -> int:
    if address not in table:
        raise SlaveExceptionError(ILLEGAL_ADDRESS)
    return table[address]
