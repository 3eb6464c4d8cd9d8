"""Rules as text: all mistakes at once with their lines; kinds found by their files; a bad file keeps the old set."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from cloud.alerts import ruleset
from cloud.alerts.rules import rule_kinds
from contract.config_text import ConfigError
from tests.cloud.alerts.world import RULES, RUNBOOK, World, rules_of

CONFIG = Path(__file__).parents[3] / "config"
CATCH_ALL = (
    "rules:\n  - {id: any, kind: device_alarm, title_zh: a, title_en: a, priority: P2,"
    f" alarms: ['*'], {RUNBOOK}}}\n"
)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ruleset.parse([ruleset.Source("r.yaml", text)])
    return [str(mistake) for mistake in caught.value.mistakes]


def threshold(limits: str, *, metric: str = "level_m", priority: str = "P2") -> str:
    return CATCH_ALL + (
        f"  - id: x\n    kind: threshold\n    title_zh: a\n    title_en: a\n    priority: {priority}\n"
        f"    metric: {metric}\n    limits: {limits}\n    {RUNBOOK}\n"
    )


def test_the_rules_that_come_with_linli_are_right_and_their_schema_is_current() -> None:
    rules = ruleset.load(CONFIG / "rules")
    assert {rule.kind for rule in rules} == set(rule_kinds())  # type: ignore[attr-defined]
    written = json.loads((CONFIG / "rules.schema.json").read_text(encoding="utf-8"))
    assert written == ruleset.schema(), "write it anew: `make schema`"
    for path in (CONFIG / "rules").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), written)


def test_every_alarm_kind_of_the_contract_has_its_priority() -> None:
    rules = {rule.id: rule for rule in ruleset.load(CONFIG / "rules")}
    named = {alarm: r.rank.name for r in rules.values() for alarm in r.watch.alarms}
    assert {kind: named[kind] for kind in ("fire", "gas", "manual_call", "fault", "*")} == {
        "fire": "P1", "gas": "P1", "manual_call": "P1", "fault": "P3", "*": "P2",
    }  # fmt: skip
    assert rules["smoke.fire"].latch
    assert rules["edge.offline"].rank == 2


def test_all_mistakes_of_all_files_are_told_at_once_with_their_lines() -> None:
    sources = [
        ruleset.Source("a.yaml", threshold("[{priority: P2, raise_at: '>=5', clear_at: '<9'}]")),
        ruleset.Source("b.yaml", "rules:\n  - id: Q\n    kind: treshold\n"),
        ruleset.Source("c.yaml", "rules: [\n"),
        ruleset.Source("d.yaml", threshold("[{priority: P2, raise_at: '5', clear_a: '<3'}]")),
    ]
    with pytest.raises(ConfigError) as caught:
        ruleset.parse(sources)
    told = [str(mistake) for mistake in caught.value.mistakes]
    assert any(line.startswith("a.yaml:9: ") and "lies beyond" in line for line in told)
    assert any(line.startswith("b.yaml:") and "did you mean 'threshold'" in line for line in told)
    assert any(line.startswith("c.yaml:") and "not valid YAML" in line for line in told)
    assert any(line.startswith("d.yaml:9: ") and "did you mean 'clear_at'" in line for line in told)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (threshold("[]"), "at least 1"),
        (threshold("[{priority: P2, raise_at: '>5', clear_at: '>3'}]"), "opposite ways"),
        (threshold("[{priority: P2, raise_at: '>5', clear_at: '<3'}]", metric="levl"), "not known"),
        (
            threshold("[{priority: P3, raise_at: '>5', clear_at: '<3'}]"),
            "last one is the rule's own",
        ),
        (
            threshold(
                "[{priority: P2, raise_at: '>5', clear_at: '<3'},"
                " {priority: P2, raise_at: '>4', clear_at: '<3'}]"
            ),
            "from mild to grave",
        ),
        (threshold("[{priority: P2, raise_at: '>5', clear_at: '<3'}]", priority="P9"), "priority"),
        (CATCH_ALL + CATCH_ALL.replace("rules:\n", ""), "is the id of a rule"),
        (CATCH_ALL.replace("'*'", "fire"), "they would be lost"),
        (CATCH_ALL.replace("id: any", "id: any, odd: 1"), "not a known setting"),
        (
            CATCH_ALL
            + "  - {id: c, kind: combination, title_zh: a, title_en: a, priority: P1, of: [none],"
            f" scope: floor, {RUNBOOK}}}\n",
            "there is no rule 'none'",
        ),
        (
            CATCH_ALL + "  - {id: o, kind: absence, title_zh: a, title_en: a, priority: P3,"
            f" scope: edge, silence: {{}}, {RUNBOOK}}}\n",
            "an edge tells its own end",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(text: str, wrong: str) -> None:
    assert any(wrong in line for line in mistakes(text))


def test_an_empty_folder_has_no_rules(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rules"):
        ruleset.load(tmp_path)


@pytest.mark.parametrize("kind", sorted(rule_kinds()))
def test_every_kind_of_rule_fulfils_its_duties(kind: str) -> None:
    model = rule_kinds()[kind]
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("frozen") is True
    undescribed = [n for n, f in model.model_fields.items() if not f.description and n != "kind"]
    assert not undescribed
    rule = next(rule for rule in rules_of() if type(rule) is model)
    assert rule.model_validate(rule.model_dump()) == rule
    assert rule.fingerprint != rule.model_copy(update={"title_en": "other"}).fingerprint
    blank = rule.blank("subject")
    assert (blank.is_blank, len(blank.gates)) == (True, len(rule.levels))
    page = (CONFIG.parent / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert f"### {kind}" in page


def test_a_bad_file_keeps_the_rules_that_run_and_says_so(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "a.yaml").write_text("rules: [{id: x}]", encoding="utf-8")
    assert world.keeper.reload(folder) is False
    assert str(world.keeper.mistakes[0]).startswith("a.yaml:1: rules[0]")
    world.alarm("smoke-1")
    assert world.only().rule == "smoke.fire"
    (folder / "a.yaml").write_text(RULES, encoding="utf-8")
    assert world.keeper.reload(folder) is True
    assert world.keeper.mistakes == ()


def test_removing_a_rule_closes_its_alerts_with_the_reason_and_frees_the_rest(
    world: World,
) -> None:
    for n in range(2):
        world.alarm(world.town.add(f"smoke-{n}", "smoke"))
    confirmed = world.only()
    world.keeper.use_rules([rule for rule in world.rules if rule.id != "smoke.confirmed"])
    world.save()
    assert {alert.rule for alert in world.alerts()} == {"smoke.fire"}
    line = world.service.history(confirmed.id).lines[-1]
    assert (line.what, line.why) == ("rule_removed", "rule smoke.confirmed was removed")


def test_removing_a_rule_while_the_worker_is_down_closes_its_alerts_too(world: World) -> None:
    world.alarm(world.town.add("smoke-1", "smoke"))
    world.rules = tuple(rule for rule in world.rules if not rule.id.startswith("smoke."))
    world.restart()
    world.save()
    assert world.alerts() == []
    world.restart()
    assert not world.keeper.has_changes


def test_editing_a_rule_keeps_all_alerts_and_judges_by_the_new_limits(world: World) -> None:
    world.town.add("gas-1", "gas")
    series = world.measure("gas-1", "gas_lel_pct")
    world.alarm(world.town.add("smoke-1", "smoke"))
    world.wait(20, {series: 6.0})
    before = {alert.rule: alert.id for alert in world.alerts()}
    text = RULES.replace("clear_at: '<3'", "clear_at: '<7'").replace(
        "raise_at: '>=5'", "raise_at: '>=9'"
    )
    world.keeper.use_rules(rules_of(text))
    world.save()
    assert {alert.rule: alert.id for alert in world.alerts()} == before
    lines = {r: [n.what for n in world.service.history(i).lines] for r, i in before.items()}
    assert lines == {"smoke.fire": ["raised"], "gas.lel": ["raised", "rule_edited"]}
    world.wait(40, {series: 6.0})
    assert {a.rule: a.condition for a in world.alerts()}["gas.lel"] == "normal"


def test_beyond_its_limit_a_rule_sums_up_and_never_stays_silent(world: World) -> None:
    text = RULES.replace("clear_for_s: 5, runbook", "clear_for_s: 5, max_active: 3, runbook")
    world.keeper.use_rules(rules_of(text))
    names = [world.town.add(f"smoke-{n}", "smoke", place=f"b{n:02d}") for n in range(8)]
    for name in names:
        world.alarm(name, "fault")
    shown = {alert.device: alert for alert in world.alerts()}
    assert set(shown) == {*names[:3], None}
    assert shown[None].members == names[3:]
    for name in names[:6]:
        world.alarm(name, "fault", on=False)
    world.wait(8)
    assert {alert.device for alert in world.alerts()} == {"smoke-6", "smoke-7"}


def test_every_alarm_that_our_drivers_tell_has_a_rule_and_a_line_in_the_docs() -> None:
    rules = ruleset.load(CONFIG / "rules")
    kinds = {
        1: "fire gas manual_call",
        3: "fault power_fault mains_fault battery_fault low_battery bus_fault line_fault link_fault "
        "tamper shielded supervisory",
        4: "started feedback delay manual_mode",
    }
    page = (CONFIG.parent / "docs" / "alerts.md").read_text(encoding="utf-8")
    for priority, names in kinds.items():
        for name in names.split():
            (rule,) = [rule for rule in rules if name in rule.watch.alarms]
            assert rule.rank == priority
            assert f"`{name}`" in page
