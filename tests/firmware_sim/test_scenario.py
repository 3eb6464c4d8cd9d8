import asyncio
import json
from pathlib import Path

import jsonschema
import pytest

from contract.config_text import ConfigError, read_yaml
from firmware_sim.errors import PlanError
from firmware_sim.fleet import Scale, write_fleet
from firmware_sim.inputs import scenario_folder
from firmware_sim.orders import Deed
from firmware_sim.plan import SimPlan, devices_of, read_plan
from firmware_sim.scenario import (
    Moment,
    Scenario,
    cast,
    find_scenario,
    play,
    read_scenario,
    scenarios_in,
)

FOLDER = scenario_folder()
SCHEMA = FOLDER.parent / "scenario.schema.json"


@pytest.fixture(scope="module", params=list(Scale))
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimPlan:
    folder = tmp_path_factory.mktemp("fleet")
    write_fleet(folder, scale=request.param)
    return read_plan(folder / "sim.yaml")


@pytest.mark.parametrize("name", ["four-emergencies", "quiet-day", "night-shift"])
def test_a_scenario_of_the_project_can_be_played_in_both_fleets(name: str, plan: SimPlan) -> None:
    scenario = find_scenario(name, FOLDER)
    moments = cast(scenario, plan)
    assert [moment.at_s for moment in moments] == sorted(step.at_s for step in scenario.steps)
    assert moments == cast(scenario, plan), "the same seed chooses the same devices"


def test_the_four_emergencies_are_what_they_are_called(plan: SimPlan) -> None:
    moments = cast(find_scenario("four-emergencies", FOLDER), plan)
    by_id = {device.id: device for device in devices_of(plan)}
    fires = [moment for moment in moments if moment.order.do is Deed.FIRE]
    first, second = (by_id[moment.order.device] for moment in fires)
    assert fires[1].at_s - fires[0].at_s == 8
    assert first.id != second.id
    assert first.gateway == second.gateway
    assert "厨房" in first.name
    assert {by_id[moment.order.device].kind for moment in moments} == {
        "smoke",
        "gas",
        "pressure",
        "level",
    }


def test_all_scenarios_are_listed_with_a_description() -> None:
    found = scenarios_in(FOLDER)
    assert len(found) >= 3
    assert all(scenario.description for scenario in found)


def test_the_schema_beside_the_scenarios_is_the_present_one() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == Scenario.model_json_schema()


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\ndescription: x\nsteps:\n"
        "- {at_s: -1, do: fire, device: a}\n"
        "- {at_s: 1, do: burn, device: a}\n"
        "- {at_s: 2, do: fire}\n"
        "- {at_s: 3, do: silence, pick: {}}\n"
        "- {at_s: 4, do: fire, device: a, colour: red}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        read_scenario(path)
    assert [mistake.line for mistake in caught.value.mistakes] == [4, 5, 6, 7, 8]


def test_loose_ends_between_steps_are_told(tmp_path: Path) -> None:
    path = tmp_path / "loose.yaml"
    path.write_text(
        "name: other\ndescription: x\nsteps:\n"
        "- {at_s: 0, do: fire, pick: {near: later}, label: here}\n"
        "- {at_s: 0, do: fire, pick: {}, label: here}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        scenarios_in(tmp_path)
    told = str(caught.value)
    assert "'loose'" in told
    assert "label 'later'" in told
    assert "'here' is used twice" in told


def test_an_unknown_name_tells_which_there_are() -> None:
    with pytest.raises(PlanError, match="four-emergencies, night-shift, quiet-day"):
        find_scenario("nope", FOLDER)


def test_a_step_without_a_fitting_device_says_so(plan: SimPlan) -> None:
    steps = ({"at_s": 5, "do": "fire", "pick": {"name_contains": "月球"}},)
    scenario = Scenario.model_validate({"name": "x", "description": "x", "steps": steps})
    with pytest.raises(PlanError, match="at 5 s: no smoke device"):
        cast(scenario, plan)


async def test_moments_are_played_in_order_and_faster_on_demand(plan: SimPlan) -> None:
    played: list[Moment] = []
    moments = cast(find_scenario("night-shift", FOLDER), plan)
    async with asyncio.timeout(25):
        await play(moments, played.append, speed=100_000)
    assert played == moments


def test_a_second_device_near_the_first_must_be_another_one(plan: SimPlan) -> None:
    steps = (
        {"at_s": 0, "do": "silence", "pick": {"kind": "line"}, "label": "a"},
        {"at_s": 1, "do": "silence", "pick": {"kind": "line", "near": "a"}},
    )
    scenario = Scenario.model_validate({"name": "x", "description": "x", "steps": steps})
    with pytest.raises(PlanError, match="no other line device near 'a'"):
        cast(scenario, plan)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_with_the_schema_accepts_the_scenarios(path: Path) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(read_yaml(path.read_text(encoding="utf-8"), path.name).value, schema)
