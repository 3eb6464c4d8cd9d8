"""Scenarios: what happens to which device and when, read from YAML, the same again for the same seed."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.config_text import ConfigError, Document, Mistake, read_yaml, validate
from firmware_sim.errors import PlanError
from firmware_sim.orders import Deed, Order
from firmware_sim.plan import PlannedDevice, SimPlan, devices_of
from firmware_sim.seeding import generator

# What happens to which kind; a selector without a kind takes it from here.
KIND_OF: Final = {
    Deed.FIRE: "smoke",
    Deed.TEST: "smoke",
    Deed.FLOOD: "smoke",
    Deed.GAS_LEAK: "gas",
    Deed.PRESSURE_LOSS: "pressure",
    Deed.OVERFLOW: "level",
}


class Pick(BaseModel):
    """A device chosen by lot; the lot depends on the seed only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["smoke", "gas", "pressure", "level", "uitd", "line"] | None = Field(
        default=None, description="Kind of device; taken from the deed when it is left out."
    )
    near: str | None = Field(
        default=None, description="Label of an earlier step: another device of the same gateway."
    )
    name_contains: str = Field(default="", description="Only devices whose name has this text.")


class Step(BaseModel):
    """One thing that happens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_s: float = Field(ge=0, le=604_800, description="Seconds after the start of the scenario.")
    do: Deed = Field(description="What happens.")
    device: str | None = Field(default=None, description="Device id, or the label of a step.")
    pick: Pick | None = Field(default=None, description="Or a choice by lot.")
    label: str | None = Field(
        default=None, description="Name by which later steps mean this device."
    )
    fault: str | None = Field(default=None, description="Which fault, for `do: fault`.")
    on: bool = True
    number: float | None = Field(default=None, ge=0, le=1e6)
    for_s: float | None = Field(default=None, gt=0, le=86_400, description="Undo after so long.")
    note: str = Field(default="", description="What it stands for.")

    @model_validator(mode="after")
    def _names_one_device(self) -> Self:
        if (self.device is None) == (self.pick is None):
            raise ValueError("give either 'device' or 'pick'")
        if self.pick is not None and self.pick.kind is None and self.do not in KIND_OF:
            raise ValueError(f"'pick' needs a kind, since {self.do} can happen to any")
        return self


class Scenario(BaseModel):
    """A story of steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    title_zh: str = ""
    description: str = Field(min_length=1, description="One sentence for the list of scenarios.")
    seed: int = 1
    steps: tuple[Step, ...] = Field(max_length=10_000)

    @model_validator(mode="after")
    def _has_a_story(self) -> Self:
        # Not a bound of the field: that one would complain as well when a single step is wrong.
        if not self.steps:
            raise ValueError("'steps' is empty")
        return self


@dataclass(frozen=True, slots=True)
class Moment:
    """A step whose device is known."""

    at_s: float
    order: Order
    note: str


def read_scenario(path: Path) -> Scenario:
    """Read and check one scenario.

    Raises:
        ConfigError: with every mistake at once.
        OSError: the file cannot be read.
    """
    document = read_yaml(path.read_text(encoding="utf-8"), path.name)
    scenario = validate(document, Scenario)
    mistakes = list(_loose_ends(document, scenario, path.stem))
    if mistakes:
        raise ConfigError(mistakes)
    return scenario


def scenarios_in(folder: Path) -> list[Scenario]:
    """Read all scenarios of a folder, by name.

    Raises:
        ConfigError: with every mistake of every file.
    """
    found: list[Scenario] = []
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            found.append(read_scenario(path))
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return found


def find_scenario(name: str, folder: Path) -> Scenario:
    """Read the scenario with that name.

    Raises:
        PlanError: there is none; the names that exist are told.
    """
    path = folder / f"{name}.yaml"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise PlanError(f"no scenario {name!r} in {folder}; there are {', '.join(known)}")
    return read_scenario(path)


def cast(scenario: Scenario, plan: SimPlan) -> list[Moment]:
    """Choose the devices of all steps, and order the steps by time.

    Raises:
        PlanError: the fleet has no fitting device.
    """
    rng = generator(scenario.seed, scenario.name)
    devices = devices_of(plan)
    gateways = [PlannedDevice(line.id, "line", line.id, "") for line in plan.lines]
    gateways += [PlannedDevice(uitd.id, "uitd", uitd.id, "") for uitd in plan.uitds]
    everything = [*devices, *gateways]
    labels: dict[str, PlannedDevice] = {}
    taken: set[str] = set()
    moments = []
    for step in scenario.steps:
        chosen = _choose(step, everything, labels, taken, rng)
        taken.add(chosen.id)
        if step.label is not None:
            labels[step.label] = chosen
        moments.append(Moment(step.at_s, _order(step, chosen.id), step.note))
    return sorted(moments, key=lambda moment: moment.at_s)


async def play(
    moments: Sequence[Moment], carry_out: Callable[[Moment], None], speed: float = 1.0
) -> None:
    """Let the moments happen at their time; `speed` 2 takes half as long."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for moment in moments:
        await asyncio.sleep(max(0.0, started_s + moment.at_s / speed - loop.time()))
        carry_out(moment)


def _order(step: Step, device_id: str) -> Order:
    return Order(
        do=step.do,
        device=device_id,
        fault=step.fault,
        on=step.on,
        number=step.number,
        for_s=step.for_s,
    )


def _choose(
    step: Step,
    devices: Sequence[PlannedDevice],
    labels: dict[str, PlannedDevice],
    taken: set[str],
    rng: Random,
) -> PlannedDevice:
    if step.device is not None:
        if step.device in labels:
            return labels[step.device]
        named = [device for device in devices if device.id == step.device]
        if not named:
            raise PlanError(f"no device is called {step.device!r}")
        return named[0]
    pick = step.pick or Pick()
    kind = pick.kind or KIND_OF[step.do]
    near = labels[pick.near].gateway if pick.near else None
    fitting = [
        device
        for device in devices
        if device.kind == kind
        and pick.name_contains in device.name
        and near in {None, device.gateway}
    ]
    if not fitting:
        raise PlanError(f"at {step.at_s:g} s: no {kind} device fits")
    fresh = [device for device in fitting if device.id not in taken]
    if near is not None and not fresh:
        raise PlanError(f"at {step.at_s:g} s: no other {kind} device near {pick.near!r}")
    if step.label and near is None:
        fresh = _with_neighbours(fresh, devices) or fresh
    return rng.choice(fresh or fitting)


def _with_neighbours(
    fitting: Sequence[PlannedDevice], devices: Sequence[PlannedDevice]
) -> list[PlannedDevice]:
    """Keep devices that are not alone of their kind: a labelled one will be wanted near another."""
    counts: dict[tuple[str, str], int] = {}
    for device in devices:
        key = (device.gateway, device.kind)
        counts[key] = counts.get(key, 0) + 1
    return [device for device in fitting if counts[device.gateway, device.kind] > 1]


def _loose_ends(document: Document, scenario: Scenario, stem: str) -> Iterator[Mistake]:
    if scenario.name != stem:
        yield document.mistake(("name",), f"must be {stem!r}, the name of the file")
    labels: set[str] = set()
    for index, step in enumerate(scenario.steps):
        near = step.pick.near if step.pick else None
        if near is not None and near not in labels:
            path = ("steps", index, "pick", "near")
            yield document.mistake(path, f"no earlier step has the label {near!r}")
        if step.label is not None:
            if step.label in labels:
                yield document.mistake(("steps", index, "label"), f"{step.label!r} is used twice")
            labels.add(step.label)
