import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.config_text import ConfigError
from contract.messages import Quality
from contract.metrics import METRICS
from edge.drivers.modbus.model import DeviceModel, read_model
from edge.drivers.modbus.plan import Block, plan_blocks, read_value
from edge.drivers.modbus.settings import ModbusSettings, check
from tests.edge.drivers.driver_peers import MODELS

FILES = sorted(MODELS.glob("*.yaml"))
GAS = (MODELS / "gas-lel-simple.yaml").read_text(encoding="utf-8")


def model(name: str) -> DeviceModel:
    file = MODELS / f"{name}.yaml"
    return read_model(file.read_text(encoding="utf-8"), file.name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_model_is_valid_bounded_and_named_as_its_file(file: Path) -> None:
    found = read_model(file.read_text(encoding="utf-8"), file.name)
    assert found.id == file.stem
    assert found.description
    for part in found.registers:
        assert part.metric in METRICS
        assert None not in {part.low, part.high, part.resolution}


def test_the_schema_beside_the_models_is_that_of_the_code() -> None:
    text = (MODELS / "device-model.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == DeviceModel.model_json_schema()


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("metric: gas_lel_pct", "metric: gas_lel_pc", 8, "gas_lel_pct"),
        ("resolution: 0.1", "resolutoin: 0.1", 8, "resolution"),
        ("metric: sounder_on", "metric: valve_open", 0, "given twice"),
        ("equals: 3", "equals: 3, bit: 1", 12, "exactly one"),
        ("function: 5, address: 1", "function: 7, address: 1", 15, "5, 6"),
    ],
)
def test_a_mistake_in_a_model_is_told_with_its_line(
    old: str, new: str, line: int, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(GAS.replace(old, new), "gas.yaml")
    (mistake,) = caught.value.mistakes
    assert told in str(mistake)
    assert not line or mistake.line == line


def test_a_poll_takes_as_few_requests_as_the_map_allows() -> None:
    assert plan_blocks(model("pressure-oem-kpa")) == (Block(3, 2, 3),)
    assert plan_blocks(model("gas-lel-simple")) == (Block(3, 0, 2), Block(1, 0, 2))


def test_a_gap_is_bridged_only_when_the_model_says_so() -> None:
    text = GAS.replace("address: 1, equals: 3", "address: 4, equals: 3")
    assert Block(3, 0, 2) in plan_blocks(read_model(text, "x"))
    assert Block(3, 0, 5) in plan_blocks(read_model(text + "bridge: 2\n", "x"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["uint16", "float64"])), max_size=17),
    st.integers(4, 125),
    st.integers(0, 20),
)
def test_every_value_comes_whole_in_one_request_within_the_limit(
    places: list[tuple[int, str]], limit: int, bridge: int
) -> None:
    parts = [
        {"metric": metric, "address": address, "type": kind}
        for metric, (address, kind) in zip(METRICS, [(0, "uint16"), *places], strict=False)
    ]
    text = {"id": "x", "kind": "gas", "source": "-", "registers": parts}
    found = read_model(yaml.safe_dump({**text, "request_limit": limit, "bridge": bridge}), "x")
    blocks = plan_blocks(found)
    assert all(block.count <= limit for block in blocks)
    for part in found.registers:
        assert any(
            block.address <= part.address
            and part.address + part.words() <= block.address + block.count
            for block in blocks
        )


def test_the_oem_board_is_read_by_its_own_unit_and_decimals() -> None:
    part = model("pressure-oem-kpa").registers[0]
    # 0.325 MPa, then 3.25 bar, then a unit the sheet does not know.
    for unit, decimals, number in ((0, 3, 325), (3, 2, 325)):
        value = read_value(part, {(3, 2): unit, (3, 3): decimals, (3, 4): number})
        assert value is not None
        assert value.value == pytest.approx(325)
    odd = read_value(part, {(3, 2): 77, (3, 3): 1, (3, 4): 325})
    assert odd is not None
    assert (odd.value, odd.quality) == (None, Quality.SENSOR_FAULT)
    assert read_value(part, {(3, 4): 325}) is None


def line(*devices: dict[str, object]) -> ModbusSettings:
    link = {"type": "tcp", "host": "127.0.0.1"}
    entry = {"id": "line-1", "kind": "modbus", "link": link, "devices": list(devices)}
    return ModbusSettings.model_validate(entry)


def test_units_that_clash_and_models_that_are_unknown_are_told() -> None:
    settings = line(
        {"id": "a", "unit": 1, "model": "gas-lel-simple"},
        {"id": "a", "unit": 1, "model": "gas-lel-simpel"},
    )
    told = {complaint.path: complaint for complaint in check(settings, MODELS)}
    assert set(told) == {("devices", 1, "unit"), ("devices", 1, "id"), ("devices", 1, "model")}
    assert "'gas-lel-simple'" in told["devices", 1, "model"].hint


def test_a_model_with_a_mistake_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    broken = GAS.replace("function: 3, address: 0", "function: 9, address: 0")
    (tmp_path / "gas-lel-simple.yaml").write_text(broken, encoding="utf-8")
    (complaint,) = check(line({"id": "a", "unit": 1, "model": "gas-lel-simple"}), tmp_path)
    assert "gas-lel-simple.yaml:8" in complaint.message
