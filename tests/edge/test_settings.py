"""An installer's mistakes are all told at once, each with its line."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from contract.config_text import ConfigError
from edge.agent import check
from edge.clock import SystemClock
from edge.settings import load, schema

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config" / "edge.example.yaml").read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "devices").symlink_to(ROOT / "config" / "devices")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "shuibei-edge-1").write_text("word\n")
    path = tmp_path / "edge.yaml"
    path.write_text(EXAMPLE)
    return path


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


def mistakes(path: Path, *changes: tuple[str, str]) -> dict[str, tuple[int, str]]:
    """Spoil the example and give what is said: path -> (line, message with its hint)."""
    text = EXAMPLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check(load(path), path.name, SystemClock())
    return {
        item.path: (item.line, f"{item.message} ({item.hint})") for item in caught.value.mistakes
    }


def test_the_example_is_right(path: Path) -> None:
    config = load(path)
    inventory = check(config, path.name, SystemClock())
    assert config.address.password == "word"
    assert config.spool_path == path.parent / "spool.db"
    assert {"shuibei-gas-001", "shuibei-smoke-001", "shuibei-edge-1"} <= {
        device.id for device in inventory.devices
    }
    assert [(rule.above, rule.clear, rule.for_s) for rule in config.rules] == [(20, 15, 3)]


def test_all_mistakes_are_told_at_once_with_their_lines(path: Path) -> None:
    found = mistakes(
        path,
        ("port: 1883", "port: 99999"),
        ("heartbeat_s: 30", "hartbeat_s: 30"),
        ("secrets/shuibei-edge-1 ", "secrets/nobody "),
        ("kind: modbus", "kind: modbsu"),
        ("metric: valve_open", "metric: valve_opne"),
        ("{id: shuibei-smoke-001,", "{id: shuibei-gas-001,"),
        (
            "device: shuibei-gas-001, metric: sounder_on",
            "device: shuibei-gas-002, metric: sounder_on",
        ),
        ("for_s: 3", "for_s: -3"),
        ("timezone: Asia/Shanghai", "timezone: Asia/Shenzhen"),
        ("models: devices", "models: nowhere"),
    )
    here = line_of
    assert found["uplink.port"][0] == here(EXAMPLE, "port: 1883")
    assert "cannot be read" in found["uplink.password_file"][1]
    assert "'modbus'" in found["drivers[0]"][1]
    assert found["drivers[1].hartbeat_s"] == (
        here(EXAMPLE, "heartbeat_s"),
        "is not a known setting (did you mean 'heartbeat_s'?)",
    )
    assert found["drivers[1].units[0].components[0].id"] == (
        here(EXAMPLE, "shuibei-smoke-001"),
        f"id shuibei-gas-001 is used twice (first on line {here(EXAMPLE, 'id: shuibei-gas-001')})",
    )
    assert "did you mean 'valve_open'?" in found["reflexes[0].do[0].metric"][1]
    assert "did you mean 'shuibei-gas-001'?" in found["reflexes[0].do[1].device"][1]
    assert found["reflexes[0].when.for_s"][0] == here(EXAMPLE, "for_s")
    assert "no time zone" in found["edge"][1]
    assert "no folder" in found["models"][1]
    assert len(found) == 10


def test_a_serial_line_and_a_port_have_one_driver(path: Path) -> None:
    lines = EXAMPLE.splitlines()
    start, end = line_of(EXAMPLE, "drivers:"), line_of(EXAMPLE, "reflexes:") - 1
    again = "\n".join(lines[start:end])
    for old in set(re.findall(r"id: (shuibei-[a-z0-9-]+)", again)):
        again = again.replace(f"id: {old}", f"id: {old}-b")
    text = "\n".join([*lines[:end], again, *lines[end:]])
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    told = [(item.path, item.message) for item in caught.value.mistakes]
    assert told == [
        ("drivers[2].link.port", "port /dev/ttyUSB0 is used twice"),
        ("drivers[3].listen.port", "port 127.0.0.1:26875 is used twice"),
    ]


def test_a_complaint_of_a_kind_stands_at_its_line(path: Path) -> None:
    found = mistakes(path, ("model: gas-lel-simple", "model: gas-lel-simpel"))
    [(line, message)] = found.values()
    assert line == line_of(EXAMPLE, "gas-lel-simple")
    assert "gas-lel-simpel" in message


def test_a_reflex_that_could_never_fire_is_refused(path: Path) -> None:
    found = mistakes(path, ("metric: gas_lel_pct", "metric: pressure_kpa"))
    assert "would never fire" in found["reflexes.gas-001-shut"][1]


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("above: 20, below: 3", "one of 'above' and 'below'"),
        ("for_s: 1", "one of 'above' and 'below'"),
        ("above: 20, clear_below: 21", "not be higher"),
        ("below: 20, clear_above: 19", "not be lower"),
        ("above: 20, clear_above: 30", "clears by 'clear_below'"),
    ],
)
def test_a_condition_has_one_side_and_clears_on_the_safe_one(
    path: Path, when: str, message: str
) -> None:
    found = mistakes(path, ("above: 20, clear_below: 15, for_s: 3", when))
    assert message in found["reflexes[0].when"][1]


@pytest.mark.parametrize("text", ["", "- a list", "edge: [", "\x00", "a: &x 1\nb: *x"])
def test_what_is_no_configuration_is_told_not_thrown(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError):
        load(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_a_bad_place_is_told(path: Path) -> None:
    found = mistakes(
        path, ("place: b01/f01/r101, name: 老王川菜馆 厨房, every_s", "place: /b01, every_s")
    )
    assert set(found) == {"drivers[0].devices[0].place"}


def test_the_environment_overrides_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_EDGE__UPLINK__HOST", "broker.example")
    monkeypatch.setenv("LINLI_EDGE__UPLINK__PORT", "8883")
    monkeypatch.setenv("LINLI_EDGE__SPOOL__LIMIT_MB", "64")
    config = load(path)
    assert (config.address.host, config.address.port) == ("broker.example", 8883)
    assert config.settings.spool.limit_mb == 64


def test_the_schema_on_disk_is_the_present_one_and_fits_the_example() -> None:
    stored = json.loads((ROOT / "config" / "edge.schema.json").read_text(encoding="utf-8"))
    assert stored == schema(), "run: linli edge schema > config/edge.schema.json"
    jsonschema.validate(yaml.safe_load(EXAMPLE), stored)


def test_every_setting_has_a_description() -> None:
    bare = [
        f"{name}.{key}"
        for name, part in schema()["$defs"].items()
        for key, field in part.get("properties", {}).items()
        if "description" not in field
    ]
    assert not bare
