"""What stands under `drivers:` for a listener of transmission devices."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from contract.metrics import METRICS
from edge.driver import Complaint, DriverSettings, Name, PlacePath, at_least_one
from edge.drivers.gb26875.frame import ADDRESS_LIMIT
from edge.drivers.gb26875.tables import ANALOGS, GAS_COMPONENTS
from edge.drivers.gb26875.wall_time import WallTime

Address = tuple[int, int, int]
"""System type, system address, component address."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Listen(_Part):
    """Where the listener waits."""

    host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="Address to bind."
    )
    port: int = Field(
        default=26875, ge=0, le=65535, description="TCP port; 0 takes any free one, for tests."
    )


class AnalogValue(_Part):
    """One analog value that a component reports."""

    type: int = Field(
        ge=1, le=255, description="Analog type: 1 to 12 of the standard, 128 up the maker's own."
    )
    metric: str = Field(
        default="",
        max_length=64,
        description="Metric of contract/metrics.py; empty takes that of the type.",
    )
    scale: float | None = Field(
        default=None,
        description="Unit of the metric for one count; empty takes that of the standard. Hydrant pressure: the "
        "standard's step of 0.1 MPa is too coarse, makers send kPa.",
    )
    low: float | None = Field(
        default=None, description="Least possible value; below is out of range."
    )
    high: float | None = Field(
        default=None, description="Greatest possible value; above is out of range."
    )
    resolution: float | None = Field(default=None, gt=0, description="Smallest step of the device.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        known = ANALOGS.get(self.type)
        if not self.metric and (known is None or not known.metric):
            raise ValueError(f"analog type {self.type} needs a metric")
        if self.metric and self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is not in contract/metrics.py")
        if self.scale is None and (known is None or (self.metric and self.metric != known.metric)):
            raise ValueError(f"analog type {self.type} as {self.metric!r} needs a scale")
        return self

    def metric_name(self) -> str:
        """Give the metric."""
        return self.metric or ANALOGS[self.type].metric

    def factor(self) -> float:
        """Give the unit of the metric for one count."""
        return ANALOGS[self.type].factor if self.scale is None else self.scale


class Component(_Part):
    """One detector, module or panel behind a transmission device."""

    id: Name = Field(description="Device id, unique everywhere, printed on its label.")
    system: int = Field(default=1, ge=0, le=255, description="System type; 1 is the fire alarm.")
    system_address: int = Field(default=1, ge=0, le=255, description="Address of the system.")
    zone: int = Field(ge=0, le=65535, description="Zone or loop, as the panel prints it.")
    point: int = Field(ge=0, le=65535, description="Point on the loop, as the panel prints it.")
    type: int = Field(
        default=40, ge=0, le=255, description="Component type; 40 smoke detector, 10 gas detector."
    )
    place: PlacePath = Field(default="", description="Path of the place: b01/f01/r101.")
    name: str = Field(default="", max_length=100, description="Name for people.")
    analogs: tuple[AnalogValue, ...] = Field(
        default=(), max_length=16, description="Analog values it reports."
    )

    @property
    def address(self) -> Address:
        """System type, system address and the component's four-byte address."""
        return self.system, self.system_address, self.zone | self.point << 16

    def device_kind(self) -> str:
        """Give the kind of device: gas, pressure (99 pressure switch), level (92 tank), else smoke."""
        if self.type in GAS_COMPONENTS:
            return "gas"
        return {92: "level", 99: "pressure"}.get(self.type, "smoke")


class UnitSettings(_Part):
    """One transmission device with what is behind it."""

    id: Name = Field(description="Device id, unique everywhere, printed on its label.")
    address: int = Field(ge=0, le=ADDRESS_LIMIT, description="Source address in its frames.")
    place: PlacePath = Field(default="", description="Path of the place: b01.")
    name: str = Field(default="", max_length=100, description="Name for people.")
    bcd_time: bool = Field(
        default=False, description="The maker writes times in BCD against the standard."
    )
    components: tuple[Component, ...] = Field(
        default=(), max_length=4000, description="Detectors, modules and panels behind it."
    )


class Gb26875Settings(DriverSettings):
    """One listener with its transmission devices."""

    kind: Literal["gb26875"] = Field(description="Kind of driver.")
    listen: Listen = Field(default_factory=Listen, description="Where the devices connect to.")
    heartbeat_s: float = Field(
        default=30,
        ge=0.1,
        le=3600,
        description="How often a device is heard of at least; three missed ones and it is gone.",
    )
    clock_tolerance_s: float = Field(
        default=60, ge=1, le=86400, description="A device's clock that is further off is set."
    )
    clock_pause_s: float = Field(
        default=600, ge=0.1, le=86400, description="How long to wait before setting it again."
    )
    refresh_s: float = Field(
        default=600,
        ge=0.5,
        le=86400,
        description="How often the states of all components are asked for; also after each connect.",
    )
    answer_timeout_s: float = Field(
        default=10, ge=0.05, le=60, description="How long a device may take to answer a request."
    )
    answer_retries: int = Field(
        default=2, ge=0, le=5, description="Repeats of a request that was not answered."
    )
    connections: int = Field(default=512, ge=1, le=10000, description="Most connections at a time.")
    connections_per_ip: int = Field(
        default=64,
        ge=1,
        le=10000,
        description="Most connections from one network address; devices behind one router share it.",
    )
    units: Annotated[tuple[UnitSettings, ...], AfterValidator(at_least_one)] = Field(
        max_length=1000,
        description="The transmission devices that may connect.",
        json_schema_extra={"minItems": 1},
    )


def wall_time(unit: UnitSettings, timezone: str) -> WallTime:
    """Give how a unit writes times; an unknown zone raises ZoneInfoNotFoundError."""
    return WallTime(ZoneInfo(timezone), unit.bcd_time)


def check(settings: Gb26875Settings, models_dir: Path) -> Iterable[Complaint]:
    """Look across the devices: source addresses, ids or component addresses given twice."""
    del models_dir  # Nothing here has a model file.
    addresses: dict[object, str] = {}
    ids: dict[object, str] = {}
    for at, unit in enumerate(settings.units):
        yield from _once(addresses, unit.address, ("units", at, "address"), "source address")
        yield from _once(ids, unit.id, ("units", at, "id"), "device id")
        places: dict[object, str] = {}
        for index, component in enumerate(unit.components):
            path = ("units", at, "components", index)
            yield from _once(places, component.address, (*path, "point"), "component address")
            yield from _once(ids, component.id, (*path, "id"), "device id")
            yield from _metrics_once(component, path)


def _once(
    seen: dict[object, str], value: object, path: tuple[str | int, ...], what: str
) -> Iterator[Complaint]:
    where = ".".join(map(str, path[:-1]))
    if value in seen:
        hint = "an alarm must name one device"
        yield Complaint(path, f"{what} {value} is that of {seen[value]} too", hint)
    seen.setdefault(value, where)


def _metrics_once(component: Component, path: tuple[str | int, ...]) -> Iterator[Complaint]:
    seen: dict[object, str] = {}
    for index, analog in enumerate(component.analogs):
        place = (*path, "analogs", index, "metric")
        yield from _once(seen, analog.metric_name(), place, "metric")


def components_by_address(unit: UnitSettings) -> Mapping[Address, Component]:
    """Index the components of a unit; of two with one address (see `check`) the first counts."""
    found: dict[Address, Component] = {}
    for component in unit.components:
        found.setdefault(component.address, component)
    return found
