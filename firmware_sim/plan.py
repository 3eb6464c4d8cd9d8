"""What is simulated: the file `sim.yaml`, checked completely before anything opens."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from contract.config_text import ConfigError, Document, Mistake, read_yaml, validate
from contract.ids import is_name
from firmware_sim.modbus.boards import BOARDS

Port = Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 lets the system choose.")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PtyTransport(_Model):
    """A serial line of this machine: `path` becomes a link to the master's end of a pseudo terminal."""

    type: Literal["pty"]
    path: str = Field(min_length=1, description="Relative to the folder of sim.yaml.")


class TcpTransport(_Model):
    """A line behind a TCP port: Modbus TCP, or serial bytes through a transparent serial server."""

    type: Literal["tcp", "rtu_over_tcp"]
    host: str = "127.0.0.1"
    port: Port


class UnitPlan(_Model):
    """One slave on a line."""

    id: str = Field(description="Device id.")
    unit: int = Field(ge=1, le=247, description="Modbus address on the line.")
    model: Literal[
        "gas-lel-simple",
        "pressure-oem-kpa",
        "level-oem-m",
        "pressure-oem-float-kpa",
        "pressure-4-20ma-kpa",
    ] = Field(description="Which board the slave has.")
    name: str = Field(default="", description="Where it hangs, for scenarios.")


class LinePlan(_Model):
    """One bus."""

    id: str
    transport: Annotated[PtyTransport | TcpTransport, Field(discriminator="type")]
    baudrate: int = Field(default=9600, ge=0, le=921_600, description="0: answers leave at once.")
    units: tuple[UnitPlan, ...] = Field(max_length=247)


class ComponentPlan(_Model):
    """One detector behind a transmission device."""

    id: str
    system: int = Field(default=1, ge=0, le=255)
    system_address: int = Field(default=1, ge=0, le=255)
    zone: int = Field(ge=0, le=65535)
    point: int = Field(ge=0, le=65535)
    type: int = Field(default=40, ge=0, le=255, description="GB/T 26875.3 table 5; 40 is smoke.")
    name: str = Field(default="", description="Sent as the description, 31 bytes of GB 18030.")


class UitdPlan(_Model):
    """One user information transmission device and the centre it reports to."""

    id: str
    address: int = Field(ge=0, lt=1 << 48, description="Its source address.")
    centre: int = Field(default=0, ge=0, lt=1 << 48, description="The centre's address.")
    host: str = "127.0.0.1"
    port: Port
    heartbeat_s: float = Field(default=30, gt=0, le=600)
    states_every_s: float = Field(default=600, gt=0, le=86_400)
    ack_timeout_s: float = Field(default=5, gt=0, le=10, description="The standard allows 10 s.")
    backoff_s: float = Field(default=1, gt=0, le=60, description="First pause before reconnecting.")
    components: tuple[ComponentPlan, ...] = ()


class SimPlan(_Model):
    """The whole file."""

    site: str
    seed: int = 1
    scenarios: str = Field(
        default="", description="Folder of scenarios; empty: those of the project."
    )
    lines: tuple[LinePlan, ...] = ()
    uitds: tuple[UitdPlan, ...] = ()


class PlannedDevice(NamedTuple):
    """A device of the plan, for looking it up: `gateway` is its line or transmission device."""

    id: str
    kind: str
    gateway: str
    name: str


KINDS: Final = {"gas_lel_pct": "gas", "pressure_kpa": "pressure", "level_m": "level"}


def devices_of(plan: SimPlan) -> list[PlannedDevice]:
    """List the sensors of a plan, in its order; lines and transmission devices are not among them."""
    found = [
        PlannedDevice(unit.id, KINDS[BOARDS[unit.model].metric], line.id, unit.name)
        for line in plan.lines
        for unit in line.units
    ]
    for uitd in plan.uitds:
        found += [PlannedDevice(part.id, "smoke", uitd.id, part.name) for part in uitd.components]
    return found


def read_plan(path: Path) -> SimPlan:
    """Read and check a `sim.yaml`.

    Raises:
        ConfigError: with every mistake at once.
        OSError: the file cannot be read.
    """
    document = read_yaml(path.read_text(encoding="utf-8"), path.name)
    plan = validate(document, SimPlan)
    mistakes = list(_clashes(document, plan))
    if mistakes:
        raise ConfigError(mistakes)
    return plan


def _clashes(document: Document, plan: SimPlan) -> Iterator[Mistake]:
    named: dict[str, tuple[str | int, ...]] = {}
    for path, name in _names(plan):
        if not is_name(name):
            yield document.mistake(path, f"{name!r} is no name", "lower case, digits and hyphens")
        if name in named:
            yield document.mistake(path, f"{name} is used twice", "every id stands for one thing")
        named[name] = path
    for number, line in enumerate(plan.lines):
        yield from _twice(
            document, ("lines", number, "units"), [unit.unit for unit in line.units], "unit"
        )
    for number, uitd in enumerate(plan.uitds):
        keys = [(c.system, c.system_address, c.zone, c.point) for c in uitd.components]
        yield from _twice(document, ("uitds", number, "components"), keys, "zone and point")
    yield from _twice(document, ("uitds",), [uitd.address for uitd in plan.uitds], "address")
    sockets = [
        (line.transport.host, line.transport.port)
        if isinstance(line.transport, TcpTransport) and line.transport.port
        else line.id
        for line in plan.lines
    ]
    yield from _twice(document, ("lines",), sockets, "host and port")


def _names(plan: SimPlan) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for number, line in enumerate(plan.lines):
        yield ("lines", number, "id"), line.id
        for index, unit in enumerate(line.units):
            yield ("lines", number, "units", index, "id"), unit.id
    for number, uitd in enumerate(plan.uitds):
        yield ("uitds", number, "id"), uitd.id
        for index, part in enumerate(uitd.components):
            yield ("uitds", number, "components", index, "id"), part.id


def _twice(
    document: Document, path: tuple[str | int, ...], values: Sequence[object], what: str
) -> Iterator[Mistake]:
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield document.mistake((*path, index), f"{what} {value} is used twice")
        seen.add(value)
