"""The nouns of a fleet: buildings, places in them, and what hangs there."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Scale(StrEnum):
    """How large a fleet is made."""

    FULL = "full"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are of everything."""

    edges: int
    buildings: int
    shops: int
    restaurants: int
    smoke: int
    gas: int
    pressure: int
    level: int
    uitds: int


COUNTS: Final = {
    Scale.FULL: Counts(4, 24, 541, 100, 747, 93, 83, 41, 30),
    Scale.SMALL: Counts(1, 3, 2, 3, 6, 3, 3, 2, 1),
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something hangs: a place, metres within the building, and the name people use."""

    place: str
    name: str
    x: float
    y: float


@dataclass(slots=True)
class Room:
    """A room, with its place path and metres within the floor plan."""

    path: str
    zh: str
    en: str
    x: float
    y: float
    is_restaurant: bool = False

    def spot(self, suffix: str) -> Spot:
        """Give a spot in this room."""
        return Spot(self.path, f"{self.zh} {suffix}", self.x, self.y)


@dataclass(slots=True)
class Building:
    """A building; `rooms` by floor number: 0 is the basement, `floors + 1` the roof."""

    number: int
    zh: str
    en: str
    x: float
    y: float
    width: float
    depth: float
    floors: int
    rooms: dict[int, list[Room]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Give its place path: b01."""
        return f"b{self.number:02}"

    def floor_path(self, floor: int) -> str:
        """Give the place path of a floor: b01/f02."""
        return f"{self.path}/f{floor:02}"


@dataclass(frozen=True, slots=True)
class Sensor:
    """A device of the fleet; `wire` is its unit address, or its zone and point."""

    id: str
    kind: str
    building: int
    spot: Spot
    wire: tuple[int, ...] = ()
    component_type: int = 40


@dataclass(slots=True)
class Uitd:
    """A transmission device with its detectors."""

    id: str
    number: int
    building: int
    detectors: list[Sensor] = field(default_factory=list)


@dataclass(slots=True)
class Community:
    """Everything that is written."""

    counts: Counts
    buildings: list[Building]
    uitds: list[Uitd]
    lines: list[list[Sensor]]

    def sensors(self) -> list[Sensor]:
        """List all 964 (or fewer) devices."""
        smoke = [detector for uitd in self.uitds for detector in uitd.detectors]
        return smoke + [unit for line in self.lines for unit in line]

    def edge_of(self, building: int) -> int:
        """Tell which edge node, from 0, serves a building, from 0."""
        return building * self.counts.edges // self.counts.buildings
