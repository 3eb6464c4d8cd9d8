import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from contract.config_text import read_yaml
from contract.ids import is_name
from firmware_sim.errors import PlanError
from firmware_sim.fleet import FleetSummary, Scale, Site, ports_needed, write_fleet
from firmware_sim.plan import devices_of, read_plan


def load(path: Path) -> Any:
    return read_yaml(path.read_text(encoding="utf-8"), path.name).value


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FleetSummary]:
    folder = tmp_path_factory.mktemp("full")
    return folder, write_fleet(folder, seed=1, site=Site(broker_port=1999, base_port=30_000))


@pytest.fixture(scope="module")
def edges(full: tuple[Path, FleetSummary]) -> list[Any]:
    return [load(full[0] / f"edge-{number}.yaml") for number in range(1, 5)]


@pytest.fixture(scope="module")
def site(full: tuple[Path, FleetSummary]) -> Any:
    return load(full[0] / "site.yaml")


def drivers(edges: list[Any], kind: str) -> list[Any]:
    return [driver for edge in edges for driver in edge["drivers"] if driver["kind"] == kind]


def test_shuibei_has_the_devices_it_has(full: tuple[Path, FleetSummary]) -> None:
    plan = read_plan(full[0] / "sim.yaml")
    kinds = Counter(device.kind for device in devices_of(plan))
    assert kinds == {"smoke": 747, "gas": 93, "pressure": 83, "level": 41}
    assert full[1].kinds == kinds
    assert full[1].devices == 964
    assert len(plan.uitds) == 30
    assert Counter(line.transport.type for line in plan.lines) == {
        "pty": 8,
        "rtu_over_tcp": 8,
        "tcp": 8,
    }


def test_shuibei_has_its_premises(site: Any) -> None:
    kinds = Counter(place["kind"] for place in site["places"])
    let = [p for p in site["places"] if re.fullmatch(r"b\d\d/f\d\d/r\d(?!00)\d\d", p["path"])]
    shops = [p for p in let if "泵房" not in p["name_zh"] and "水箱" not in p["name_zh"]]
    assert kinds["building"] == 24
    assert len(shops) == 541 + 100
    assert len({place["name_zh"] for place in shops}) == 641


def test_every_id_is_a_name_and_stands_once(
    full: tuple[Path, FleetSummary], edges: list[Any]
) -> None:
    ids = [edge["edge"]["id"] for edge in edges]
    for driver in drivers(edges, "modbus"):
        ids += [driver["id"], *(device["id"] for device in driver["devices"])]
    for driver in drivers(edges, "gb26875"):
        ids.append(driver["id"])
        for unit in driver["units"]:
            ids += [unit["id"], *(part["id"] for part in unit["components"])]
    assert all(is_name(name) for name in ids)
    assert len(set(ids)) == len(ids) == 4 + 24 + 4 + 30 + 964


def test_no_port_and_no_address_is_used_twice(
    full: tuple[Path, FleetSummary], edges: list[Any]
) -> None:
    ports = [driver["listen"]["port"] for driver in drivers(edges, "gb26875")]
    lines = drivers(edges, "modbus")
    ports += [line["link"]["port"] for line in lines if line["link"]["type"] != "serial"]
    assert sorted(ports) == list(full[1].ports) == list(range(30_000, 30_020))
    assert ports_needed(Scale.FULL) == 20
    for line in lines:
        units = [device["unit"] for device in line["devices"]]
        assert len(set(units)) == len(units)
    addresses = [unit["address"] for d in drivers(edges, "gb26875") for unit in d["units"]]
    assert len(set(addresses)) == 30
    for driver in drivers(edges, "gb26875"):
        for unit in driver["units"]:
            keys = [(part["zone"], part["point"]) for part in unit["components"]]
            assert len(set(keys)) == len(keys)


def test_the_simulator_and_the_edges_mean_the_same(
    full: tuple[Path, FleetSummary], edges: list[Any]
) -> None:
    plan = read_plan(full[0] / "sim.yaml")
    lines = {line["id"]: line for line in drivers(edges, "modbus")}
    for line in plan.lines:
        other = lines[line.id]
        assert [(u.id, u.unit, u.model) for u in line.units] == [
            (d["id"], d["unit"], d["model"]) for d in other["devices"]
        ]
        if line.transport.type == "pty":
            assert other["link"]["port"] == str(full[0].resolve() / line.transport.path)
        else:
            assert other["link"]["type"] == line.transport.type
            assert other["link"]["port"] == line.transport.port
    listeners = {u["id"]: (d, u) for d in drivers(edges, "gb26875") for u in d["units"]}
    for uitd in plan.uitds:
        driver, unit = listeners[uitd.id]
        assert (driver["listen"]["port"], unit["address"]) == (uitd.port, uitd.address)
        assert [part.id for part in uitd.components] == [p["id"] for p in unit["components"]]


def test_every_device_has_a_place_and_stands_on_the_site(edges: list[Any], site: Any) -> None:
    paths = {place["path"] for place in site["places"]}
    devices = [device for d in drivers(edges, "modbus") for device in d["devices"]]
    devices += [p for d in drivers(edges, "gb26875") for u in d["units"] for p in u["components"]]
    assert {device["place"] for device in devices} <= paths
    where = {device["id"]: device for device in site["devices"]}
    assert set(where) == {device["id"] for device in devices}
    limits = site["site"]
    for device in where.values():
        assert 0 <= device["x"] <= limits["width_m"]
        assert 0 <= device["y"] <= limits["depth_m"]


def test_parents_come_before_their_places(site: Any) -> None:
    seen: set[str] = set()
    for place in site["places"]:
        parent = place["path"].rpartition("/")[0]
        assert not parent or parent in seen
        assert place["path"] not in seen
        seen.add(place["path"])


def test_every_gas_detector_shuts_its_valve(edges: list[Any]) -> None:
    reflexes = [reflex for edge in edges for reflex in edge["reflexes"]]
    assert len(reflexes) == 93
    for reflex in reflexes:
        device = reflex["when"]["device"]
        assert [(act["device"], act["metric"], act["value"]) for act in reflex["do"]] == [
            (device, "valve_open", 0),
            (device, "sounder_on", 1),
        ]


def test_no_secret_is_written(full: tuple[Path, FleetSummary], edges: list[Any]) -> None:
    for edge in edges:
        assert edge["uplink"]["password_file"] == f"secrets/{edge['edge']['id']}"
        assert edge["uplink"]["port"] == 1999
    assert not (full[0] / "secrets").exists()


def test_the_same_seed_writes_the_same_files_and_another_does_not(tmp_path: Path) -> None:
    texts = []
    for seed in (3, 3, 4):
        write_fleet(tmp_path, seed=seed, scale=Scale.SMALL)
        texts.append([p.read_text(encoding="utf-8") for p in sorted(tmp_path.glob("*.yaml"))])
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_small_fleet_has_one_of_each(tmp_path: Path) -> None:
    summary = write_fleet(tmp_path, scale=Scale.SMALL, site=Site(base_port=40_000))
    plan = read_plan(tmp_path / "sim.yaml")
    assert [line.transport.type for line in plan.lines] == ["pty", "rtu_over_tcp", "tcp"]
    assert [len(uitd.components) for uitd in plan.uitds] == [6]
    assert len(summary.edges) == 1
    assert all(line.units for line in plan.lines)
    assert len(summary.ports) == ports_needed(Scale.SMALL) == 3


def test_the_models_are_found_from_the_folder(tmp_path: Path) -> None:
    write_fleet(tmp_path, scale=Scale.SMALL)
    edge = load(tmp_path / "edge-1.yaml")
    models = tmp_path / edge["models"]
    used = {d["model"] for driver in drivers([edge], "modbus") for d in driver["devices"]}
    assert {path.stem for path in models.glob("*.yaml")} >= used


def test_ports_beyond_the_last_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="20 ports"):
        write_fleet(tmp_path, site=Site(base_port=65_530))


def test_a_fleet_for_containers_has_no_serial_line_and_another_broker(tmp_path: Path) -> None:
    site = Site(broker_host="broker", serial=False, base_port=25_000)
    summary = write_fleet(tmp_path, scale=Scale.SMALL, site=site)
    plan = read_plan(tmp_path / "sim.yaml")
    assert Counter(line.transport.type for line in plan.lines) == {"rtu_over_tcp": 2, "tcp": 1}
    assert list(summary.ports) == [25_000, 25_001, 25_002, 25_003]
    assert ports_needed(Scale.FULL, serial=False) == 28
    edge = load(tmp_path / "edge-1.yaml")
    assert edge["uplink"]["host"] == "broker"
    assert (tmp_path / edge["spool"]["path"]).parent.is_dir()
