"""Writes a community as `site.yaml`, `edge-N.yaml` and `sim.yaml`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from firmware_sim.errors import PlanError
from firmware_sim.fleet.community import make_community
from firmware_sim.fleet.model import COUNTS, Building, Community, Scale, Sensor, Uitd
from firmware_sim.fleet.names import Names, read_names
from firmware_sim.inputs import config_folder

MODEL_OF: Final = {"gas": "gas-lel-simple", "pressure": "pressure-oem-kpa", "level": "level-oem-m"}
PERIOD_S: Final = {"gas": 2, "pressure": 5, "level": 10}
TRANSPORTS: Final = ("serial", "rtu_over_tcp", "tcp")
WITHOUT_SERIAL: Final = ("rtu_over_tcp", "tcp")
HOST: Final = "127.0.0.1"
BAUDRATE: Final = 9600
HEARTBEAT_S: Final = 30
UITD_ADDRESS: Final = 10_000
CENTRE_ADDRESS: Final = 1
SPOOLS: Final = "spool"
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """What was written: the files, and how many devices of each kind."""

    files: tuple[Path, ...]
    edges: tuple[str, ...]
    devices: int
    kinds: dict[str, int]
    ports: range

    def text(self) -> str:
        """Tell it in a few lines."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        names = ", ".join(path.name for path in self.files)
        return (
            f"{self.devices} devices ({kinds}) on {len(self.edges)} edge nodes\n"
            f"ports {self.ports.start}-{self.ports.stop - 1} of {HOST}\nwritten: {names}"
        )


def ports_needed(scale: Scale, *, serial: bool = True) -> int:
    """Give how many ports, from the base port on, a fleet uses; more when no line is serial."""
    counts = COUNTS[scale]
    lines = [_transport(index, serial=serial) for index in range(counts.buildings)]
    return counts.edges + sum(1 for kind in lines if kind != "serial")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a fleet finds what it needs: the broker, free ports, device models, serial lines or none.

    `base_port` is the first of `ports_needed(…)` ports: the edges' listeners, then the TCP lines.
    """

    broker_host: str = HOST
    broker_port: int = 1883
    base_port: int = 21000
    models: Path | None = None
    serial: bool = True


def write_fleet(
    out: Path, *, seed: int = 1, scale: Scale = Scale.FULL, site: Site | None = None
) -> FleetSummary:
    """Draw a community and write its files into `out`.

    Args:
        out: made when missing; files of these names are replaced.
        seed: the same seed gives the same community.
        scale: the whole one, or a handful of devices.
        site: broker, ports, models; the defaults when left out.

    Raises:
        PlanError: the ports do not fit below 65536.
        ConfigError: the names cannot be read.
        OSError: `out` cannot be written.
    """
    site = site or Site()
    needed = ports_needed(scale, serial=site.serial)
    if not 0 < site.base_port <= 65_536 - needed:
        raise PlanError(f"base port {site.base_port}: {needed} ports are needed below 65536")
    names = read_names(config_folder() / "shuibei" / "names.yaml")
    community = make_community(scale, seed, names)
    writer = _Writer(community, names, out.resolve(), site)
    out.mkdir(parents=True, exist_ok=True)
    files = []
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast, where built
    for name, value in writer.documents(seed):
        path = out / name
        text = yaml.dump(
            value,
            Dumper=dumper,
            allow_unicode=True,
            sort_keys=False,
            width=240,
            default_flow_style=None,
        )
        path.write_text(text, encoding="utf-8")
        files.append(path)
    kinds = {"smoke": 0, "gas": 0, "pressure": 0, "level": 0}
    for sensor in community.sensors():
        kinds[sensor.kind] += 1
    edges = tuple(writer.edge_id(index) for index in range(community.counts.edges))
    for edge in edges:
        (out / SPOOLS / edge).mkdir(parents=True, exist_ok=True)
    ports = range(site.base_port, site.base_port + needed)
    return FleetSummary(tuple(files), edges, sum(kinds.values()), kinds, ports)


def _transport(building: int, *, serial: bool) -> str:
    kinds = TRANSPORTS if serial else WITHOUT_SERIAL
    return kinds[building % len(kinds)]


class _Writer:
    """Says the same community three times: to the cloud, to the edges, to the simulator."""

    def __init__(self, community: Community, names: Names, out: Path, site: Site) -> None:
        self._community = community
        self._names = names
        self._prefix = names.site.id
        self._out = out
        self._site = site

    def documents(self, seed: int) -> Iterator[tuple[str, Plain]]:
        """Give the files: name, and content as plain values."""
        yield "site.yaml", self._site_file()
        for index in range(self._community.counts.edges):
            yield f"edge-{index + 1}.yaml", self._edge_file(index)
        yield "sim.yaml", self._sim_file(seed)

    def edge_id(self, index: int) -> str:
        """Give the id of an edge node, counted from 0."""
        return f"{self._prefix}-edge-{index + 1}"

    def _line_id(self, building: int) -> str:
        return f"{self._prefix}-line-{building + 1:02}"

    def _listener_port(self, edge: int) -> int:
        return self._site.base_port + edge

    def _line_port(self, building: int) -> int:
        before = sum(1 for index in range(building) if self._kind(index) != "serial")
        return self._site.base_port + self._community.counts.edges + before

    def _kind(self, building: int) -> str:
        return _transport(building, serial=self._site.serial)

    def _pty(self, building: int) -> str:
        return f"lines/{self._line_id(building)}"

    def _site_file(self) -> Plain:
        site = self._names.site
        places: list[Plain] = []
        for building in self._community.buildings:
            places += _places(building)
        return {
            "site": {
                "id": site.id,
                "name_zh": site.zh,
                "name_en": site.en,
                "width_m": site.width_m,
                "depth_m": site.depth_m,
            },
            "places": places,
            "edges": [
                {"id": self.edge_id(index), "name": self._names.edges[index]}
                for index in range(self._community.counts.edges)
            ],
            "devices": [self._position(sensor) for sensor in self._community.sensors()],
        }

    def _position(self, sensor: Sensor) -> Plain:
        building = self._community.buildings[sensor.building]
        x, y = building.x + sensor.spot.x, building.y + sensor.spot.y
        return {"id": sensor.id, "x": round(x, 1), "y": round(y, 1)}

    def _edge_file(self, index: int) -> Plain:
        name = self.edge_id(index)
        models = self._site.models or config_folder() / "devices"
        buildings = [
            number
            for number in range(self._community.counts.buildings)
            if self._community.edge_of(number) == index
        ]
        listener = {
            "id": f"{self._prefix}-uitd-listener-{index + 1}",
            "kind": "gb26875",
            "listen": {"host": HOST, "port": self._listener_port(index)},
            "heartbeat_s": HEARTBEAT_S,
            "units": [
                self._edge_uitd(uitd)
                for uitd in self._community.uitds
                if uitd.building in buildings
            ],
        }
        return {
            "edge": {"id": name, "name": self._names.edges[index], "timezone": "Asia/Shanghai"},
            "uplink": {
                "host": self._site.broker_host,
                "port": self._site.broker_port,
                "username": name,
                "password_file": f"secrets/{name}",
            },
            "spool": {"path": f"{SPOOLS}/{name}/spool.db", "limit_mb": 512},
            "models": os.path.relpath(models.resolve(), self._out),
            "drivers": [*(self._edge_line(number) for number in buildings), listener],
            "reflexes": [
                _reflex(sensor)
                for number in buildings
                for sensor in self._community.lines[number]
                if sensor.kind == "gas"
            ],
        }

    def _edge_line(self, building: int) -> Plain:
        kind = self._kind(building)
        if kind == "serial":
            port = str(self._out / self._pty(building))
            link: Plain = {"type": kind, "port": port, "baudrate": BAUDRATE}
            link |= {"parity": "N", "stop_bits": 1}
        else:
            link = {"type": kind, "host": HOST, "port": self._line_port(building)}
        return {
            "id": self._line_id(building),
            "kind": "modbus",
            "link": link,
            "timeout_s": 0.4,
            "retries": 1,
            "devices": [
                {
                    "id": sensor.id,
                    "unit": sensor.wire[0],
                    "model": MODEL_OF[sensor.kind],
                    "place": sensor.spot.place,
                    "name": sensor.spot.name,
                    "every_s": PERIOD_S[sensor.kind],
                }
                for sensor in self._community.lines[building]
            ],
        }

    def _edge_uitd(self, uitd: Uitd) -> Plain:
        building = self._community.buildings[uitd.building]
        components = [
            _component(sensor) | {"place": sensor.spot.place, "name": sensor.spot.name}
            for sensor in uitd.detectors
        ]
        return {
            "id": uitd.id,
            "address": UITD_ADDRESS + uitd.number,
            "place": building.path,
            "name": f"{building.zh} 用户信息传输装置",
            "components": components,
        }

    def _sim_file(self, seed: int) -> Plain:
        return {
            "site": self._prefix,
            "seed": seed,
            "lines": [self._sim_line(number) for number in range(self._community.counts.buildings)],
            "uitds": [self._sim_uitd(uitd) for uitd in self._community.uitds],
        }

    def _sim_line(self, building: int) -> Plain:
        kind = self._kind(building)
        transport: Plain = {"type": kind, "host": HOST, "port": self._line_port(building)}
        if kind == "serial":
            transport = {"type": "pty", "path": self._pty(building)}
        return {
            "id": self._line_id(building),
            "transport": transport,
            "baudrate": BAUDRATE,
            "units": [
                {
                    "id": sensor.id,
                    "unit": sensor.wire[0],
                    "model": MODEL_OF[sensor.kind],
                    "name": sensor.spot.name,
                }
                for sensor in self._community.lines[building]
            ],
        }

    def _sim_uitd(self, uitd: Uitd) -> Plain:
        return {
            "id": uitd.id,
            "address": UITD_ADDRESS + uitd.number,
            "centre": CENTRE_ADDRESS,
            "host": HOST,
            "port": self._listener_port(self._community.edge_of(uitd.building)),
            "heartbeat_s": HEARTBEAT_S,
            "components": [
                _component(sensor) | {"name": sensor.spot.name} for sensor in uitd.detectors
            ],
        }


def _component(sensor: Sensor) -> Plain:
    zone, point = sensor.wire
    return {
        "id": sensor.id,
        "system": 1,
        "system_address": 1,
        "zone": zone,
        "point": point,
        "type": sensor.component_type,
    }


def _reflex(sensor: Sensor) -> Plain:
    return {
        "id": f"{sensor.id}-shut",
        "when": {
            "device": sensor.id,
            "metric": "gas_lel_pct",
            "above": 20,
            "clear_below": 15,
            "for_s": 3,
        },
        "do": [
            {"device": sensor.id, "metric": "valve_open", "value": 0},
            {"device": sensor.id, "metric": "sounder_on", "value": 1},
        ],
    }


def _places(building: Building) -> list[Plain]:
    found: list[Plain] = [
        {
            "path": building.path,
            "kind": "building",
            "name_zh": building.zh,
            "name_en": building.en,
            "x": building.x,
            "y": building.y,
            "width": building.width,
            "depth": building.depth,
            "floors": building.floors,
        }
    ]
    for floor, rooms in sorted(building.rooms.items()):
        path = building.floor_path(floor)
        zh, en = _floor_name(floor, building.floors)
        found.append({"path": path, "kind": "floor", "name_zh": zh, "name_en": en})
        found += [
            {
                "path": room.path,
                "kind": "room",
                "name_zh": room.zh,
                "name_en": room.en,
                "x": room.x,
                "y": room.y,
            }
            for room in rooms
        ]
    return found


def _floor_name(floor: int, floors: int) -> tuple[str, str]:
    if floor == 0:
        return "负1层", "B1"
    return ("屋面", "Roof") if floor > floors else (f"{floor}层", f"F{floor}")
