from pathlib import Path

import pytest

from contract.config_text import ConfigError
from firmware_sim.plan import devices_of, read_plan

GOOD = """
site: shuibei
lines:
- {id: line-1, transport: {type: pty, path: line-1}, units: [{id: gas-1, unit: 1, model: gas-lel-simple,
   name: 厨房}]}
- {id: line-2, transport: {type: tcp, port: 2000}, units: [{id: level-1, unit: 1, model: level-oem-m}]}
uitds:
- {id: uitd-1, address: 7, port: 0, components: [{id: smoke-1, zone: 1, point: 1, name: 店内}]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "sim.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_lists_its_devices(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, GOOD))
    assert [tuple(device) for device in devices_of(plan)] == [
        ("gas-1", "gas", "line-1", "厨房"),
        ("level-1", "level", "line-2", ""),
        ("smoke-1", "smoke", "uitd-1", "店内"),
    ]


def test_all_clashes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = GOOD.replace("level-1, unit: 1", "gas-1, unit: 1") + (
        "- {id: Uitd_2, address: 7, port: 0, components: [{id: s-1, zone: 1, point: 1}, "
        "{id: s-2, zone: 1, point: 1}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_plan(write(tmp_path, text))
    told = "\n".join(str(mistake) for mistake in caught.value.mistakes)
    for part in ("gas-1 is used twice", "'Uitd_2' is no name", "address 7", "zone and point"):
        assert part in told
    assert "sim.yaml:9: uitds[1].id" in told


def test_a_misspelt_model_and_a_wrong_unit_are_both_told(tmp_path: Path) -> None:
    text = GOOD.replace("gas-lel-simple", "gas-lel-simpel").replace(
        "unit: 1, model: level", "unit: 248, model: level"
    )
    with pytest.raises(ConfigError) as caught:
        read_plan(write(tmp_path, text))
    assert len(caught.value.mistakes) == 2
