"""One bus with its slaves, and how their answers reach the master: delayed, broken, torn or not at all."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from firmware_sim.modbus.boards import Board
from firmware_sim.modbus.faults import Fault, Faults
from firmware_sim.modbus.frames import Request, RtuReader, TcpReader, rtu_frame, tcp_frame

Write = Callable[[bytes], None]
GATEWAY_NO_RESPONSE: Final = 0x0B
# A real slave forgets after 3.5 characters. Pipes and schedulers are coarser than wires.
SILENT_INTERVAL_S: Final = 0.3
PENDING_LIMIT: Final = 512


@dataclass(slots=True)
class Slave:
    """One unit on a bus."""

    device_id: str
    address: int
    board: Board
    faults: Faults = field(default_factory=Faults)

    @property
    def is_mute(self) -> bool:
        """Tell whether it answers nothing at present."""
        return self.faults.has(Fault.SILENT) or self.faults.has(Fault.RESTART)

    def answer(self, pdu: bytes) -> bytes | None:
        """Carry out a request; None when nothing is said."""
        if self.is_mute:
            return None
        code = self.faults.active.get(Fault.EXCEPTION)
        if code is not None:
            return bytes([pdu[0] | 0x80, int(code)])
        return self.board.image.answer(pdu)


@dataclass(slots=True)
class Line:
    """A bus: its slaves by address. `baudrate` 0 answers at once, else after the time the wire would take."""

    line_id: str
    slaves: Mapping[int, Slave]
    baudrate: int = 0
    is_cut: bool = False

    def broadcast(self, pdu: bytes) -> None:
        """Let every slave carry out a request to unit 0; nobody answers."""
        for slave in self.slaves.values():
            slave.answer(pdu)


class Session:
    """One master on a line. Bytes come in by `received`, answers go out by `write`."""

    def __init__(self, line: Line, write: Write, *, is_tcp: bool = False) -> None:
        self._line = line
        self._write = write
        self._is_tcp = is_tcp
        self._reader = TcpReader() if is_tcp else RtuReader()
        self._loop = asyncio.get_running_loop()
        self._timers: set[asyncio.TimerHandle] = set()
        self._last_s = 0.0

    def received(self, chunk: bytes) -> None:
        """Take bytes of the master.

        Raises:
            ValueError: the stream is no Modbus TCP; close the connection.
        """
        now_s = self._loop.time()
        if self._reader.is_waiting and now_s - self._last_s > SILENT_INTERVAL_S:
            self._reader.clear()
        self._last_s = now_s
        for request in self._reader.feed(chunk):
            if not self._line.is_cut:
                self._handle(request)

    def close(self) -> None:
        """Drop every answer that is still on its way."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _handle(self, request: Request) -> None:
        if request.unit == 0 and not self._is_tcp:
            self._line.broadcast(request.pdu)
            return
        slave = self._line.slaves.get(request.unit)
        if slave is None:
            if self._is_tcp:
                refusal = bytes([request.pdu[0] | 0x80, GATEWAY_NO_RESPONSE])
                self._write(tcp_frame(request.transaction, request.unit, refusal))
            return
        pdu = slave.answer(request.pdu)
        if pdu is not None:
            self._send(self._pack(request, pdu, slave.faults), request.size, slave.faults)

    def _pack(self, request: Request, pdu: bytes, faults: Faults) -> bytes:
        if self._is_tcp:
            frame = tcp_frame(request.transaction, request.unit, pdu)
            # There is no check sum on TCP: the nearest fault is an answer to a question nobody asked.
            if faults.has(Fault.WRONG_CRC):
                frame = tcp_frame(request.transaction ^ 0x5555, request.unit, pdu)
        else:
            frame = rtu_frame(request.unit, pdu)
            if faults.has(Fault.WRONG_CRC):
                frame = frame[:-1] + bytes([frame[-1] ^ 0xFF])
        return frame * 2 if faults.has(Fault.DOUBLE) else frame

    def _send(self, frame: bytes, asked_bytes: int, faults: Faults) -> None:
        delay_s = faults.active.get(Fault.SLOW, 0.0)
        if self._line.baudrate:
            delay_s += (asked_bytes + len(frame)) * 10 / self._line.baudrate
        gap_s = faults.active.get(Fault.SPLIT)
        if gap_s is None:
            self._later(delay_s, frame)
            return
        for index in range(len(frame)):
            self._later(delay_s + (index + 1) * gap_s, frame[index : index + 1])

    def _later(self, delay_s: float, chunk: bytes) -> None:
        if delay_s <= 0:
            self._write(chunk)
            return
        if len(self._timers) >= PENDING_LIMIT:
            return

        def fire() -> None:
            self._timers.discard(timer)
            self._write(chunk)

        timer = self._loop.call_later(delay_s, fire)
        self._timers.add(timer)
