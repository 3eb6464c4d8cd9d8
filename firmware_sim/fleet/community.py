"""Draws a community from a seed: buildings, rooms, and which sensor hangs where on which wire."""

from collections.abc import Iterator
from random import Random
from typing import Final

from firmware_sim.fleet.model import (
    COUNTS,
    Building,
    Community,
    Counts,
    Room,
    Scale,
    Sensor,
    Spot,
    Uitd,
)
from firmware_sim.fleet.names import Names, Pair, draw
from firmware_sim.seeding import generator

COLUMNS: Final = 6
MARGIN_M: Final = 18.0
ROOM_PITCH_M: Final = 8.0
SMOKE_TYPES: Final = (40, 40, 40, 42)  # smoke in general, and now and then an optical one


def make_community(scale: Scale, seed: int, names: Names) -> Community:
    """Draw the community; the same seed gives the same one."""
    counts = COUNTS[scale]
    rng = generator(seed, "fleet")
    buildings = [_building(index, names, rng) for index in range(counts.buildings)]
    _let_rooms(buildings, counts, names, rng)
    for building in buildings:
        _service_rooms(building)
    community = Community(counts, buildings, [], [])
    community.uitds = _uitds(names.site.id, counts, buildings, rng)
    community.lines = _lines(names.site.id, counts, buildings, rng)
    return community


def _building(index: int, names: Names, rng: Random) -> Building:
    row, column = divmod(index, COLUMNS)
    street = names.streets[row % len(names.streets)]
    door = column * 2 + 1
    pitch_x = (names.site.width_m - MARGIN_M) / COLUMNS
    pitch_y = (names.site.depth_m - MARGIN_M) / 4
    return Building(
        number=index + 1,
        zh=f"{street.zh}{door}号",
        en=f"{door} {street.en}",
        x=round(MARGIN_M + column * pitch_x, 1),
        y=round(MARGIN_M + row * pitch_y, 1),
        width=float(rng.randint(52, int(pitch_x - MARGIN_M))),
        depth=float(rng.randint(38, int(pitch_y - MARGIN_M))),
        floors=rng.randint(4, 7),
    )


def _let_rooms(buildings: list[Building], counts: Counts, names: Names, rng: Random) -> None:
    """Let restaurants on the ground floor, shops on all floors, evenly over the buildings."""
    eateries = draw(names.restaurant_owners, names.restaurant_kinds, counts.restaurants, rng)
    shops = draw(names.shop_owners, names.shop_trades, counts.shops, rng)
    for index, name in enumerate(eateries):
        _add_room(buildings[index % len(buildings)], 1, name, is_restaurant=True)
    for index, name in enumerate(shops):
        # Counted from the far end, so that buildings with a restaurant more have a shop fewer.
        building = buildings[-1 - index % len(buildings)]
        floor = min(range(1, building.floors + 1), key=lambda n: len(building.rooms.get(n, [])))
        _add_room(building, floor, name)


def _add_room(building: Building, floor: int, name: Pair, *, is_restaurant: bool = False) -> Room:
    rooms = building.rooms.setdefault(floor, [])
    row, column = divmod(len(rooms), max(1, int(building.width // ROOM_PITCH_M)))
    room = Room(
        path=f"{building.floor_path(floor)}/r{floor}{len(rooms) + 1:02}",
        zh=name[0],
        en=name[1],
        x=round((column + 0.5) * ROOM_PITCH_M, 1),
        y=round(min(building.depth - 2, 4 + row * building.depth / 2), 1),
        is_restaurant=is_restaurant,
    )
    rooms.append(room)
    return room


def _service_rooms(building: Building) -> None:
    middle, near = round(building.width / 2, 1), round(building.depth / 2, 1)
    for floor in range(1, building.floors + 1):
        path = f"{building.floor_path(floor)}/r{floor}00"
        corridor = Room(path, f"{floor}层走廊", f"F{floor} Corridor", middle, near)
        building.rooms.setdefault(floor, []).append(corridor)
    basement = f"{building.floor_path(0)}/r001"
    building.rooms[0] = [Room(basement, "消防泵房", "Fire Pump Room", 6.0, near)]
    top = building.floors + 1
    roof = f"{building.floor_path(top)}/r{top}01"
    building.rooms[top] = [Room(roof, "屋面水箱间", "Roof Tank Room", middle, 5.0)]


def _let(building: Building) -> list[tuple[int, Room]]:
    return [
        (floor, room)
        for floor in range(1, building.floors + 1)
        for room in building.rooms[floor]
        if not room.path.endswith("00")
    ]


def _corridor(building: Building, floor: int) -> Room:
    return building.rooms[floor][-1]


def _uitds(site: str, counts: Counts, buildings: list[Building], rng: Random) -> list[Uitd]:
    """Give each building its transmission device, the first ones a second for their upper floors."""
    spots: list[list[tuple[int, Spot]]] = [
        [
            (floor, room.spot("厨房" if room.is_restaurant else "店内"))
            for floor, room in _let(building)
        ]
        for building in buildings
    ]
    placed = sum(len(part) for part in spots)
    for index in range(counts.smoke - placed):
        number = index % len(buildings)
        floor = 1 + index // len(buildings) % buildings[number].floors
        spots[number].append((floor, _corridor(buildings[number], floor).spot("探测器")))
    seconds = max(0, counts.uitds - len(buildings))
    uitds: dict[tuple[int, int], Uitd] = {}
    serial = 0
    for number, building in enumerate(buildings):
        for floor, spot in sorted(spots[number], key=lambda item: item[0]):
            upper = int(number < seconds and floor > building.floors // 2)
            owner = (min(number, counts.uitds - 1) if seconds == 0 else number, upper)
            if owner not in uitds:
                place = len(uitds) + 1
                uitds[owner] = Uitd(f"{site}-uitd-{place:02}", place, owner[0])
            serial += 1
            detectors = uitds[owner].detectors
            point = 1 + sum(1 for known in detectors if known.wire[0] == floor)
            kind = rng.choice(SMOKE_TYPES)
            name = f"{site}-smoke-{serial:03}"
            detectors.append(Sensor(name, "smoke", number, spot, (floor, point), kind))
    return list(uitds.values())


def _lines(site: str, counts: Counts, buildings: list[Building], rng: Random) -> list[list[Sensor]]:
    """Put the transmitters of a building on one bus."""
    found: list[list[Sensor]] = [[] for _ in buildings]
    kitchens = [
        (number, room.spot("厨房"))
        for number, building in enumerate(buildings)
        for _, room in _let(building)
        if room.is_restaurant
    ]
    with_gas = sorted(rng.sample(range(len(kitchens)), counts.gas))
    wanted = {
        "gas": [kitchens[index] for index in with_gas],
        "pressure": sorted(_first(_pressure_spots(buildings), counts.pressure), key=_number),
        "level": sorted(_first(_level_spots(buildings), counts.level), key=_number),
    }
    for kind, spots in wanted.items():
        for serial, (number, spot) in enumerate(spots, 1):
            unit = len(found[number]) + 1
            found[number].append(Sensor(f"{site}-{kind}-{serial:03}", kind, number, spot, (unit,)))
    return found


def _number(item: tuple[int, Spot]) -> int:
    return item[0]


def _first(spots: Iterator[tuple[int, Spot]], count: int) -> list[tuple[int, Spot]]:
    return [spot for spot, _ in zip(spots, range(count), strict=False)]


def _pressure_spots(buildings: list[Building]) -> Iterator[tuple[int, Spot]]:
    for number, building in enumerate(buildings):
        yield number, _corridor(building, building.floors).spot("最不利点消火栓")
    for number, building in enumerate(buildings):
        yield number, _corridor(building, 1).spot("喷淋末端")
    for number, building in enumerate(buildings):
        yield number, building.rooms[0][0].spot("出水干管")
    for number, building in enumerate(buildings):
        name = f"{building.zh} 室外消火栓"
        yield number, Spot(building.path, name, building.width / 2, -3.0)


def _level_spots(buildings: list[Building]) -> Iterator[tuple[int, Spot]]:
    for number, building in enumerate(buildings):
        yield number, building.rooms[building.floors + 1][0].spot("高位消防水箱")
    for number, building in enumerate(buildings):
        yield number, building.rooms[0][0].spot("消防水池")
