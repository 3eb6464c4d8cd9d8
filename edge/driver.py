"""The port between the edge and a kind of device: what a driver is given, and what it must offer.

A driver kind is one folder `edge/drivers/<kind>/` whose `driver.py` has a `KIND` of type `DriverKind`; it is found by
its folder, so adding one touches no other code file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contract.messages import Detail, DeviceBirth, Quality
from edge.clock import Clock

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
"""What may be printed on a label: a device, a line, a model."""
PlacePath = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]+(/[a-z0-9-]+)*)?$")]
"""Where a device stands: `b01/f02/r201`, empty when it is not placed."""
_Item = TypeVar("_Item")


def at_least_one(parts: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Refuse an empty list; pydantic counts valid items only and would tell one mistake too many.

    Raises:
        ValueError: it is empty.
    """
    if not parts:
        raise ValueError("at least one is needed")
    return parts


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one device.

    `value` is in the unit of the metric (contract/metrics.py) and None exactly when the sensor is at fault;
    `measured_at` is Unix milliseconds by the edge's clock.
    """

    device_id: str
    metric: str
    value: float | None
    measured_at: int
    quality: Quality = Quality.OK


@dataclass(frozen=True, slots=True)
class DeviceAlarm:
    """One alarm bit of a device that is on or off; the fields are those of `contract.messages.Alarm`."""

    device_id: str
    kind: str
    is_active: bool
    measured_at: int
    device_at: int | None = None
    is_test: bool = False
    is_history: bool = False
    detail: Detail = field(default_factory=dict)
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """A device fact that is no number: `link_up`, `link_down` (with a reason), `operation`, `self_test`."""

    device_id: str
    kind: str
    measured_at: int
    device_at: int | None = None
    is_history: bool = False
    detail: Detail = field(default_factory=dict)


Observation = Reading | DeviceAlarm | DeviceEvent


class Sink(Protocol):
    """Where a driver puts what it saw."""

    async def deliver(self, observations: Sequence[Observation]) -> None:
        """Keep the observations; when this returns they are on disk, so a device may be answered.

        Raises:
            SpoolFullError: an alarm or event could not be kept; do not acknowledge it to the device.
        """
        ...


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric a device is going to report; limits and resolution in the unit of the metric."""

    device_id: str
    metric: str
    low: float | None = None
    high: float | None = None
    resolution: float | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong that one field alone cannot show; `path` counts from the driver's entry."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """One frame found in captured bytes, or a stretch of bytes that is none.

    `consumed` counts the bytes this row accounts for; `fields` holds plain JSON values; `error` says why bytes
    were skipped.
    """

    ok: bool
    consumed: int
    fields: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True, slots=True)
class DriverTools:
    """What every driver is handed by the agent."""

    sink: Sink
    clock: Clock
    models_dir: Path
    timezone: str = "Asia/Shanghai"


class DriverSettings(BaseModel):
    """What every entry under `drivers:` has; a kind adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=64,
        description="Name of this line or listener.",
    )
    kind: str = Field(description="Kind of driver: the name of its folder.")


class Driver(Protocol):
    """One running line or listener with its devices."""

    def devices(self) -> Sequence[DeviceBirth]:
        """Give all devices of the configuration, answering or not."""
        ...

    def metrics(self) -> Sequence[MetricSpec]:
        """Give every metric the devices may report."""
        ...

    async def run(self) -> None:
        """Serve the devices until cancelled; a device that is gone is waited for, never a reason to return."""
        ...

    async def write(self, device_id: str, metric: str, value: float) -> None:
        """Set an output and confirm it by the device's own feedback where it has one.

        Raises:
            DeviceUnavailableError: no answer in time.
            DeviceRefusedError: the device answered that it will not, or has no such output.
        """
        ...


@dataclass(frozen=True, slots=True)
class DriverKind:
    """What a driver folder offers."""

    kind: str
    settings: type[DriverSettings]
    build: Callable[[Any, DriverTools], Driver]
    decode: Callable[[bytes], Iterable[CaptureRow]]
    check: Callable[[Any, Path], Iterable[Complaint]] = lambda _settings, _models_dir: ()
