"""What a kind of transmitter looks like on the bus, as data: `config/devices/<id>.yaml`. Pure."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from contract.config_text import read_yaml, validate
from contract.metrics import METRICS
from edge.driver import Name, at_least_one
from edge.drivers.modbus.registers import CurrentLoop, Order, Scaling, ValueType, words_of

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LoopPart(_Part):
    """A 4-20 mA loop behind an input module; 3.6 and 21 mA are the fault limits of NAMUR NE 43."""

    raw4: float = Field(description="Count of the module at 4 mA.")
    raw20: float = Field(description="Count of the module at 20 mA.")
    low: float = Field(default=0, description="Value at 4 mA, in the unit of the metric.")
    span: float = Field(
        description="Value at 20 mA minus value at 4 mA, in the unit of the metric."
    )

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.raw4 == self.raw20:
            raise ValueError("raw4 and raw20 must differ")
        return self


class _Place(_Part):
    function: Literal[1, 2, 3, 4] = Field(
        default=3,
        description="Modbus function: 1 coils, 2 discrete inputs, 3 holding, 4 input registers.",
    )
    address: int = Field(ge=0, le=65535, description="Address on the wire, counted from 0.")


class RegisterPart(_Place):
    """One value that is read."""

    metric: Word = Field(
        description="Metric of contract/metrics.py; its unit is that of the value."
    )
    type: ValueType = Field(default=ValueType.UINT16, description="How the bytes are read.")
    order: Order = Field(default=Order.ABCD, description="Byte order on the line.")
    bit: int | None = Field(
        default=None,
        ge=0,
        le=15,
        description="Read only this bit of the register, 0 is the lowest.",
    )
    scale: float = Field(default=1, description="Factor from the raw number to the metric's unit.")
    offset: float = Field(default=0, description="Added after scaling, in the metric's unit.")
    decimals_at: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Register in which the device keeps its number of decimals.",
    )
    unit_at: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Register in which the device keeps its unit code.",
    )
    units: dict[int, float] = Field(
        default_factory=dict, description="Unit code of the device: factor into the metric's unit."
    )
    low: float | None = Field(
        default=None, description="Least possible value; below is out of range."
    )
    high: float | None = Field(
        default=None, description="Greatest possible value; above is out of range."
    )
    resolution: float | None = Field(default=None, gt=0, description="Smallest step of the device.")
    current_loop: LoopPart | None = Field(
        default=None, description="Set when the register counts a 4-20 mA loop."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _known_metric(self.metric)
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        if (self.unit_at is None) != (not self.units):
            raise ValueError("unit_at and units come together")
        if self.function in {1, 2} and (self.type is not ValueType.UINT16 or self.bit is not None):
            raise ValueError("coils and discrete inputs have no type and no bit")
        if self.bit is not None and self.type is not ValueType.UINT16:
            raise ValueError("a bit is taken of a uint16")
        return self

    def scaling(self, factor: float = 1.0) -> Scaling:
        """Give the scaling, with what the device's own decimals and unit add to it."""
        part = self.current_loop
        loop = CurrentLoop(part.raw4, part.raw20, part.low, part.span) if part else None
        return Scaling(self.scale * factor, self.offset, self.low, self.high, loop)

    def words(self) -> int:
        """Give how many registers or bits the value takes."""
        return 1 if self.function in {1, 2} else words_of(self.type)


class AlarmPart(_Place):
    """One alarm of the device: on when `bit` is set, or the register equals or lies beyond a number."""

    kind: Word = Field(description="Kind of alarm: fire, gas, fault, low_battery, tamper …")
    bit: int | None = Field(default=None, ge=0, le=15, description="On when this bit is set.")
    mask: int = Field(default=0xFFFF, ge=1, le=0xFFFF, description="Looks only at these bits.")
    equals: int | None = Field(default=None, ge=0, le=65535, description="On at this number.")
    at_least: int | None = Field(
        default=None, ge=0, le=65535, description="On from this number up."
    )
    at_most: int | None = Field(default=None, ge=0, le=65535, description="On up to this number.")

    @model_validator(mode="after")
    def _has_one_condition(self) -> Self:
        given = [self.bit, self.equals, self.at_least, self.at_most]
        is_bit = self.function in {1, 2}
        if sum(item is not None for item in given) != (0 if is_bit else 1):
            raise ValueError(
                "a coil or discrete input is its own condition"
                if is_bit
                else "give exactly one of bit, equals, at_least, at_most"
            )
        return self

    def is_on(self, word: int) -> bool:
        """Tell whether this register or bit raises the alarm."""
        if self.function in {1, 2}:
            return bool(word)
        if self.bit is not None:
            return bool(word >> self.bit & 1)
        number = word & self.mask
        if self.equals is not None:
            return number == self.equals
        if self.at_least is not None:
            return number >= self.at_least
        return self.at_most is not None and number <= self.at_most


class OutputPart(_Part):
    """Something that can be set; it is read back with every poll and to confirm a write."""

    metric: Word = Field(description="Metric of contract/metrics.py, for example valve_open.")
    function: Literal[5, 6, 16] = Field(
        description="Modbus function: 5 one coil, 6 one register, 16 several registers."
    )
    address: int = Field(ge=0, le=65535, description="Address on the wire, counted from 0.")
    type: ValueType = Field(default=ValueType.UINT16, description="How the bytes are written.")
    order: Order = Field(default=Order.ABCD, description="Byte order on the line.")
    scale: float = Field(default=1, description="Factor from the raw number to the metric's unit.")
    low: float | None = Field(default=None, description="Least value that may be written.")
    high: float | None = Field(default=None, description="Greatest value that may be written.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _known_metric(self.metric)
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if self.function != 16 and words_of(self.type) != 1:
            raise ValueError(
                f"function {self.function} writes one word, {self.type.value} takes more"
            )
        return self

    def as_register(self) -> RegisterPart:
        """Give the value that is read back: coils by function 1, registers by function 3."""
        if self.function == 5:
            return RegisterPart(metric=self.metric, function=1, address=self.address)
        return RegisterPart(
            metric=self.metric,
            function=3,
            address=self.address,
            type=self.type,
            order=self.order,
            scale=self.scale,
        )


class DeviceModel(_Part):
    """A kind of transmitter."""

    id: Name = Field(description="Name of the model: the name of its file.")
    kind: Name = Field(description="Kind of device: gas, pressure, level, smoke …")
    maker: str = Field(default="", max_length=200, description="Who makes it.")
    description: str = Field(default="", max_length=500, description="What it measures, and how.")
    source: str = Field(min_length=1, max_length=500, description="Where the register map is from.")
    registers: Annotated[tuple[RegisterPart, ...], AfterValidator(at_least_one)] = Field(
        max_length=64, description="Values that are read.", json_schema_extra={"minItems": 1}
    )
    alarms: tuple[AlarmPart, ...] = Field(
        default=(), max_length=64, description="Registers or bits that are alarms of the device."
    )
    outputs: tuple[OutputPart, ...] = Field(
        default=(), max_length=32, description="What can be set."
    )
    request_limit: int = Field(
        default=125, ge=1, le=125, description="Most registers the device gives in one answer."
    )
    bridge: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Unused registers that may be read to spare a request; 0 when the device refuses them.",
    )

    @model_validator(mode="after")
    def _has_each_metric_once(self) -> Self:
        seen: set[str] = set()
        for metric in [part.metric for part in self.values()]:
            if metric in seen:
                raise ValueError(f"metric {metric!r} is given twice")
            seen.add(metric)
        return self

    def values(self) -> tuple[RegisterPart, ...]:
        """Give everything that is read as a metric: the registers, then the outputs read back."""
        return (*self.registers, *(output.as_register() for output in self.outputs))

    def output(self, metric: str) -> OutputPart | None:
        """Find what sets a metric."""
        return next((part for part in self.outputs if part.metric == metric), None)


def read_model(text: str, file: str) -> DeviceModel:
    """Read the YAML text of a device model.

    Raises:
        ConfigError: with every mistake, its line and path.
    """
    return validate(read_yaml(text, file), DeviceModel)


def close_name(name: str, known: Iterable[str]) -> str:
    """Give the hint for a misspelt name: the close one that is known, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"


def _known_metric(name: str) -> None:
    if name not in METRICS:
        raise ValueError(
            f"metric {name!r} is not in contract/metrics.py ({close_name(name, METRICS)})"
        )
