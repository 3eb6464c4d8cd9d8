"""What stands under `drivers:` for a Modbus line, and the models it names."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contract.config_text import ConfigError, Mistake
from edge.driver import Complaint, DriverSettings, Name, PlacePath, at_least_one
from edge.drivers.modbus.model import DeviceModel, close_name, read_model
from edge.transport import LineLink


class ModbusDevice(BaseModel):
    """One unit on the line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name = Field(description="Device id, unique everywhere, printed on its label.")
    unit: int = Field(ge=1, le=247, description="Modbus address on the line.")
    model: Name = Field(description="Device model: a file of the models folder, without .yaml.")
    place: PlacePath = Field(default="", description="Path of the place: b01/f01/r101.")
    name: str = Field(default="", max_length=100, description="Name for people.")
    every_s: float = Field(default=5, ge=0.1, le=3600, description="How often it is polled.")


class ModbusSettings(DriverSettings):
    """One line with its units."""

    kind: Literal["modbus"] = Field(description="Kind of driver.")
    link: LineLink = Field(description="How the line is reached.")
    timeout_s: float = Field(
        default=0.4, ge=0.02, le=10, description="How long a unit may take to answer."
    )
    retries: int = Field(
        default=1, ge=0, le=5, description="Repeats before a cycle of a living unit has failed."
    )
    gap_s: float = Field(
        default=0.005,
        ge=0,
        le=1,
        description="Silence before each request on RTU lines; 3.5 characters are 4 ms at 9600.",
    )
    dead_after: int = Field(
        default=3, ge=1, le=20, description="Failed cycles after which a unit is given up as gone."
    )
    dead_every_s: float = Field(
        default=30, ge=0.1, le=3600, description="How often a unit that is gone is tried."
    )
    write_timeout_s: float = Field(
        default=5, ge=0.1, le=60, description="How long setting an output may take in all."
    )
    devices: Annotated[tuple[ModbusDevice, ...], AfterValidator(at_least_one)] = Field(
        max_length=247,
        description="The units on this line.",
        json_schema_extra={"minItems": 1},
    )


def load_model(models_dir: Path, name: str) -> DeviceModel:
    """Read one device model.

    Raises:
        ConfigError: there is no such model (the close name is given), or its file has mistakes.
    """
    file = models_dir / f"{name}.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        hint = close_name(name, (path.stem for path in models_dir.glob("*.yaml")))
        raise ConfigError(
            [Mistake(str(file), 0, "", f"there is no device model {name!r}", hint)]
        ) from None
    model = read_model(text, str(file))
    if model.id != name:
        mistake = Mistake(str(file), 1, "id", f"is {model.id!r}, but the file is named {name!r}")
        raise ConfigError([mistake])
    return model


def check(settings: ModbusSettings, models_dir: Path) -> Iterable[Complaint]:
    """Look across the units: addresses or ids given twice, models that are unknown or have mistakes."""
    yield from _twice(settings.devices, "unit", "two units with one address answer at once")
    yield from _twice(settings.devices, "id", "a device stands on one line only")
    told: set[str] = set()
    for index, device in enumerate(settings.devices):
        if device.model in told:
            continue
        told.add(device.model)
        try:
            load_model(models_dir, device.model)
        except ConfigError as error:
            for mistake in error.mistakes:
                yield _complaint_of(index, mistake)


def _complaint_of(index: int, mistake: Mistake) -> Complaint:
    path = ("devices", index, "model")
    if not mistake.line:
        return Complaint(path, mistake.message, mistake.hint)
    return Complaint(path, f"the model has a mistake: {mistake}")


def _twice(devices: Sequence[ModbusDevice], name: str, why: str) -> Iterator[Complaint]:
    first: dict[object, int] = {}
    for index, device in enumerate(devices):
        value = getattr(device, name)
        if value in first:
            text = f"{name} {value} is that of devices[{first[value]}] too"
            yield Complaint(("devices", index, name), text, why)
        first.setdefault(value, index)
