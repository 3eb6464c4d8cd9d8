"""The wire under Modbus: serial lines, serial servers and Modbus TCP, through pymodbus; the one door to it.

What pymodbus 3.16 does by itself and is kept from doing here, each measured:
- it drops a TCP connection after `retries + 5` unanswered requests, so that one dead unit takes its neighbours along:
  its limit is raised out of reach before connecting;
- it reconnects in a task of its own and doubles its pause up to 300 s: that task is switched off, the line's master
  connects, at most 10 s apart;
- it returns exception answers instead of raising them: here they raise;
- on RTU it throws away an answer that comes together with noise or a late answer of another unit: it is shown the
  bytes only when the wanted answer stands in them whole.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU

from edge.errors import DeviceRefusedError, DeviceUnavailableError

NEVER: Final = 10**6
CONNECT_TIMEOUT_S: Final = 5.0


def _heed_cancellation(clean_up: Callable[[], None] | None = None) -> None:
    """Raise the cancellation that pymodbus may have swallowed.

    It waits with `asyncio.wait_for`, which before Python 3.12 drops a cancellation that comes together with the answer:
    the line would run on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        if clean_up is not None:
            clean_up()
        raise asyncio.CancelledError


FrameFinder = Callable[[bytes, int, int, int], bytes | None]
"""Finds the answer of (buffer, unit, function, size) on a line without framing, None while it is not whole."""


class _Link(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SerialLink(_Link):
    """A serial port of this box."""

    type: Literal["serial"] = Field(description="A serial port of this box.")
    port: str = Field(
        min_length=1, max_length=200, description="Device of the port, for example /dev/ttyUSB0."
    )
    baudrate: int = Field(default=9600, ge=300, le=921600, description="Bits a second.")
    parity: Literal["N", "E", "O"] = Field(default="N", description="Parity: none, even or odd.")
    data_bits: Literal[7, 8] = Field(default=8, description="Data bits of a character.")
    stop_bits: Literal[1, 2] = Field(default=1, description="Stop bits of a character.")


class RtuOverTcpLink(_Link):
    """A transparent serial server: RTU frames inside TCP."""

    type: Literal["rtu_over_tcp"] = Field(description="RTU frames inside TCP.")
    host: str = Field(min_length=1, max_length=253, description="Address of the serial server.")
    port: int = Field(ge=1, le=65535, description="TCP port of the serial server.")


class TcpLink(_Link):
    """A Modbus TCP device or gateway."""

    type: Literal["tcp"] = Field(description="Modbus TCP.")
    host: str = Field(min_length=1, max_length=253, description="Address of the device or gateway.")
    port: int = Field(default=502, ge=1, le=65535, description="TCP port, 502 by the standard.")


LineLink = Annotated[SerialLink | RtuOverTcpLink | TcpLink, Field(discriminator="type")]


class LineDownError(DeviceUnavailableError):
    """The line itself cannot be used: no device on it is to blame."""


class ExceptionAnswerError(DeviceRefusedError):
    """The unit answered with a Modbus exception."""

    def __init__(self, unit: int, function: int, code: int) -> None:
        self.code = code
        super().__init__(f"unit {unit} answers function {function} with exception {code}")


class ModbusLine:
    """One master on one line; its requests go out one after the other, each once."""

    def __init__(self, link: LineLink, *, timeout_s: float, find_frame: FrameFinder) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._find_frame = find_frame
        self._wanted: tuple[int, int, int] | None = None
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        # pymodbus logs each unanswered poll as an error; who is gone is told once, by the driver.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

    @property
    def has_framing(self) -> bool:
        """Tell whether answers carry the number of their request, so that a late one cannot be taken for another."""
        return isinstance(self._link, TcpLink)

    @property
    def is_connected(self) -> bool:
        """Tell whether the port or connection is open; a cut cable behind it is not noticed."""
        return self._client is not None and self._client.connected

    async def connect(self) -> None:
        """Open the port or connection anew.

        Raises:
            LineDownError: it does not open; the message says why as far as it is known.
        """
        self.close()
        client = self._new_client()
        # pymodbus has one time-out for answers and connecting; a TCP connection may take longer than an answer.
        client.ctx.comm_params.timeout_connect = CONNECT_TIMEOUT_S
        client.set_max_no_responses(NEVER)
        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
                is_open = await client.connect()
        except (OSError, ModbusException, ValueError) as error:
            client.close()
            raise LineDownError(f"{self.describe()} does not open: {error}") from error
        finally:
            _heed_cancellation(client.close)
        if not is_open:
            client.close()
            raise LineDownError(f"{self.describe()} does not open")
        client.ctx.comm_params.timeout_connect = self._timeout_s
        self._client = client

    def close(self) -> None:
        """Close the port or connection; harmless when it is closed."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def describe(self) -> str:
        """Name the line for people: the port, or host and port."""
        link = self._link
        return link.port if isinstance(link, SerialLink) else f"{link.host}:{link.port}"

    async def read(self, unit: int, function: int, address: int, count: int) -> list[int]:
        """Read registers (functions 3, 4) or bits (1, 2), bits as 0 or 1.

        Args:
            unit: Modbus address, 0 to 255.
            function: 1 to 4.
            address: first register or bit, from 0.
            count: how many; at most 125 registers or 2000 bits.

        Raises:
            DeviceUnavailableError: no answer in time, or one that does not fit the request.
            LineDownError: the line is closed.
            ExceptionAnswerError: the unit answers with an exception.
        """
        is_bits = function in {1, 2}
        size = 5 + (-(-count // 8) if is_bits else 2 * count)
        client = self._opened()
        calls = {
            1: client.read_coils,
            2: client.read_discrete_inputs,
            3: client.read_holding_registers,
            4: client.read_input_registers,
        }
        call = calls[function]
        answer = await self._ask(
            (unit, function, size), lambda: call(address, count=count, device_id=unit)
        )
        found = [int(bit) for bit in answer.bits] if is_bits else list(answer.registers)
        if len(found) < count or (not is_bits and len(found) != count):
            raise DeviceUnavailableError(f"unit {unit} gives {len(found)} values, {count} asked")
        return found[:count]

    async def write(self, unit: int, function: int, address: int, values: Sequence[int]) -> None:
        """Write one coil (5), one register (6) or several registers (16).

        Raises:
            DeviceUnavailableError: no answer in time.
            LineDownError: the line is closed.
            ExceptionAnswerError: the unit answers with an exception.
        """
        client = self._opened()
        first, several = values[0], list(values)
        if function == 5:
            coil = bool(first)
            await self._ask((unit, 5, 8), lambda: client.write_coil(address, coil, device_id=unit))
        elif function == 6:
            await self._ask(
                (unit, 6, 8), lambda: client.write_register(address, first, device_id=unit)
            )
        else:
            await self._ask(
                (unit, 16, 8), lambda: client.write_registers(address, several, device_id=unit)
            )

    def _opened(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        if self._client is None or not self._client.connected:
            raise LineDownError(f"{self.describe()} is closed")
        return self._client

    async def _ask(
        self, wanted: tuple[int, int, int], call: "Callable[[], asyncio.Future[ModbusPDU] | object]"
    ) -> ModbusPDU:
        unit, function, _ = wanted
        self._wanted = wanted
        try:
            async with asyncio.timeout(self._timeout_s + 1):
                answer: ModbusPDU = await call()  # type: ignore[misc]  # pymodbus types it loosely
        except (ModbusException, TimeoutError, OSError) as error:
            if not self.is_connected:
                raise LineDownError(f"{self.describe()} was closed") from error
            raise DeviceUnavailableError(f"unit {unit} does not answer") from error
        finally:
            self._wanted = None
            _heed_cancellation()
        if answer.isError():
            raise ExceptionAnswerError(unit, function, answer.exception_code)
        if answer.function_code != function:
            raise DeviceUnavailableError(f"unit {unit} answers another function")
        return answer

    def _new_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        link = self._link
        if isinstance(link, SerialLink):
            return AsyncModbusSerialClient(
                link.port,
                framer=FramerType.RTU,
                baudrate=link.baudrate,
                parity=link.parity,
                bytesize=link.data_bits,
                stopbits=link.stop_bits,
                timeout=self._timeout_s,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._watch,
            )
        is_rtu = isinstance(link, RtuOverTcpLink)
        return AsyncModbusTcpClient(
            link.host,
            port=link.port,
            framer=FramerType.RTU if is_rtu else FramerType.SOCKET,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._watch if is_rtu else None,
        )

    def _watch(self, is_sent: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        """Show pymodbus the wanted answer whole, or nothing; it keeps the bytes meanwhile."""
        if is_sent:
            return data
        if self._wanted is None:
            return b""
        return self._find_frame(data, *self._wanted) or b""
