"""The boards of the transmitters: which register holds what.

| board                  | registers                                                            |
| gas-lel-simple         | 03: 0 = 0.1 %LEL, 1 = 0 normal 1 low 2 high 3 fault                  |
|                        | coils: 0 valve open, 1 sounder on                                    |
| pressure-oem-kpa       | 03: 0 address 1 baud 2 unit (1 kPa) 3 decimals (1) 4 value           |
|                        | 5 zero point 6 full scale                                            |
| level-oem-m            | the same board, unit 7 (mH2O), 2 decimals                            |
| pressure-oem-float-kpa | 03: 3 unit, 4 decimals, 16h-17h kPa, 26h-27h degrees, float32 CDAB   |
| pressure-4-20ma-kpa    | 04: 0 = loop current in uA; 4-20 mA is 0-1600 kPa                    |

Source: data sheets of the usual OEM boards; docs/simulator.md names them.
"""

import struct
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from firmware_sim.modbus.faults import Fault, Faults
from firmware_sim.modbus.image import Image
from firmware_sim.plant import KitchenAir, Plant

OutputHook = Callable[[str, int], None]
BAUD_CODE: Final = 3  # 9600
GAS_LOW_PCT: Final = 10.0
GAS_HIGH_PCT: Final = 20.0
LOOP_SPAN_KPA: Final = 1600.0
PIPE_TEMPERATURE_C: Final = 21.5


class Board:
    """A slave's electronics: samples its plant into its registers.

    `on_output(metric, value)` is told when a master sets an output.
    """

    model = ""
    metric = ""

    def __init__(self, plant: Plant, faults: Faults, address: int) -> None:
        self.plant = plant
        self.faults = faults
        self.image = Image(self.written)
        self.on_output: OutputHook | None = None
        self.set_up(address)

    def set_up(self, address: int) -> None:
        """Fill the registers as they are after power-on."""

    def sample(self, plant_s: float) -> float:
        """Measure once, set the registers, and give the value in the unit of the metric."""
        value = self.plant.value(plant_s)
        self.show(value)
        return value

    def show(self, value: float) -> None:
        """Set the registers from a value."""
        raise NotImplementedError

    def written(self, table: str, address: int, value: int) -> None:
        """Act on an accepted write."""


class GasBoard(Board):
    """A gas transmitter with a relay for the valve and one for the sounder."""

    model = "gas-lel-simple"
    metric = "gas_lel_pct"
    outputs: Final = ("valve_open", "sounder_on")

    @override
    def set_up(self, address: int) -> None:
        # The valve is bistable: it stays as it was through a restart, the sounder does not.
        open_now = self.image.coils.get(0, 1)
        self.image.coils.update({0: open_now, 1: 0})
        self.image.holding.update({0: 0, 1: 0})

    @override
    def show(self, value: float) -> None:
        self.image.set_holding(0, min(1000, round(value * 10)))
        if self.faults.has(Fault.SENSOR):
            status = 3
        else:
            status = 2 if value >= GAS_HIGH_PCT else 1 if value >= GAS_LOW_PCT else 0
        self.image.set_holding(1, status)

    @override
    def written(self, table: str, address: int, value: int) -> None:
        if table != "coils":
            return
        if address == 0 and isinstance(self.plant, KitchenAir):
            self.plant.is_valve_open = bool(value)
        if self.on_output is not None:
            self.on_output(self.outputs[address], value)


class OemBoard(Board):
    """The usual RS-485 board behind a diaphragm: a 16-bit value with unit and decimals beside it."""

    unit_code = 1
    decimals = 1
    full_scale = 1600.0

    @override
    def set_up(self, address: int) -> None:
        scale = 10**self.decimals
        words = (address, BAUD_CODE, self.unit_code, self.decimals, 0, 0, self.full_scale * scale)
        for index, word in enumerate(words):
            self.image.set_holding(index, int(word))
        self.image.writable = {0, 1}

    @override
    def show(self, value: float) -> None:
        shown = 0x7FFF if self.faults.has(Fault.SENSOR) else round(value * 10**self.decimals)
        self.image.set_holding(4, max(-32768, min(32767, shown)))


class PressureBoard(OemBoard):
    """Pressure in kPa with one decimal."""

    model = "pressure-oem-kpa"
    metric = "pressure_kpa"


class LevelBoard(OemBoard):
    """Level in metres of water with two decimals."""

    model = "level-oem-m"
    metric = "level_m"
    unit_code = 7
    decimals = 2
    full_scale = 5.0


class FloatBoard(Board):
    """The float edition, low half first; `word_order` makes it one of the batches that do it the other way."""

    model = "pressure-oem-float-kpa"
    metric = "pressure_kpa"

    @override
    def set_up(self, address: int) -> None:
        for index in range(0x28):
            self.image.set_holding(index, 0)
        self.image.holding.update({0: address, 3: 1, 4: 1})

    @override
    def show(self, value: float) -> None:
        self._store(0x16, value)
        self._store(0x26, PIPE_TEMPERATURE_C)

    def _store(self, address: int, value: float) -> None:
        first, second = struct.unpack(">HH", struct.pack(">f", value))
        if not self.faults.has(Fault.WORD_ORDER):
            first, second = second, first
        self.image.holding.update({address: first, address + 1: second})


class LoopBoard(Board):
    """A 4-20 mA transmitter behind an analogue input module."""

    model = "pressure-4-20ma-kpa"
    metric = "pressure_kpa"

    @override
    def set_up(self, address: int) -> None:
        self.image.inputs[0] = 4000

    @override
    def show(self, value: float) -> None:
        current_ua = 4000 + value / LOOP_SPAN_KPA * 16_000
        if self.faults.has(Fault.OPEN_LOOP):
            current_ua = 12  # what a module reads on a broken wire
        elif self.faults.has(Fault.SENSOR):
            current_ua = 21_500  # a transmitter that knows it is broken drives its current up
        self.image.inputs[0] = max(0, min(22_000, round(current_ua)))


BOARDS: Final[dict[str, type[Board]]] = {
    board.model: board for board in (GasBoard, PressureBoard, LevelBoard, FloatBoard, LoopBoard)
}
