import contextlib
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloud import settings
from cloud.settings import CloudSettings, LocalSeries
from contract.config_text import ConfigError, read_yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "cloud.example.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "config" / "rules").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "linli-cloud").write_text("a secret\n")
    path = tmp_path / "cloud.yaml"
    path.write_text("")
    return path


def mistakes(file: Path, text: str) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        settings.load(file)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_an_empty_file_is_a_working_installation(file: Path) -> None:
    found = settings.load(file)
    assert found.database.url == f"sqlite:///{file.parent}/app.db"
    assert found.series == LocalSeries(path=file.parent / "series")
    assert settings.secret(found.broker.password_file) == "a secret"
    assert found.web.host == "127.0.0.1"


def test_the_example_says_what_the_defaults_are() -> None:
    found, document = settings.read(EXAMPLE)
    given = CloudSettings.model_validate(document.value)
    defaults = CloudSettings()
    names = CloudSettings.model_fields
    changed = {name for name in names if getattr(given, name) != getattr(defaults, name)}
    assert changed == {"rules", "web"}
    assert found.rules == ROOT / "config" / "rules"
    assert found.web.dist.resolve() == ROOT / "dashboards" / "dist"


def test_the_schema_is_current_and_takes_the_example() -> None:
    stored = json.loads((ROOT / "config" / "cloud.schema.json").read_text(encoding="utf-8"))
    assert stored == settings.json_schema(), (
        "run: linli cloud schema --out config/cloud.schema.json"
    )
    jsonschema.validate(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")), stored)


def test_every_setting_is_described_and_numbers_are_bounded() -> None:
    schema = settings.json_schema()
    for name, model in [*schema["$defs"].items(), ("CloudSettings", schema)]:
        for field, facts in model["properties"].items():
            assert facts.get("description") or field == "kind", f"{name}.{field} says nothing"
            if facts.get("type") == "integer":
                assert {"minimum", "maximum"} <= set(facts), f"{name}.{field} has no bounds"


def test_all_mistakes_are_told_at_once_with_their_lines(file: Path) -> None:
    text = "web:\n  prot: 80\n  host: ''\nshards: [9, 70]\nbroker: {port: 0}\nretention: {safety_days: ten}\n"
    found = mistakes(file, text)
    assert [line.split(": ")[0] for line in found] == [
        "cloud.yaml:2", "cloud.yaml:3", "cloud.yaml:4", "cloud.yaml:5", "cloud.yaml:6",
    ]  # fmt: skip
    assert "did you mean 'port'?" in found[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("database: {url: 'mysql://x/y'}", "pattern"),
        ("database: {url: 'postgresql+psycopg://a:b@c/d'}", "password_file"),
        ("database: {password_file: secrets/linli-cloud}", "needs a user"),
        ("broker: {host: mqtt.example.cn}", "is not this machine"),
        ("broker: {tls: {ca_file: a, key_file: b}}", "belong together"),
        ("broker: {tls: {ca_file: nowhere.pem}}", "nowhere.pem is not there"),
        ("broker: {password_file: nowhere}", "nowhere is not there"),
        ("rules: nowhere", "is not a folder"),
        ("database: {url: 'sqlite:///nowhere/app.db'}", "nowhere is not there"),
        ("series: {kind: influx}", "'url' is missing"),
        ("series: {kind: influxdb}", "influx"),
        ("shards: [9, 3]", "first is larger"),
        ("web: {port: 1, port: 2}", "given twice"),
        ("- a", "dictionary"),
    ],
)
def test_a_mistake_is_told(file: Path, text: str, told: str) -> None:
    assert any(told in line for line in mistakes(file, text))


@pytest.mark.parametrize("host", ["mqtt.example.cn", "10.0.0.7", "0.0.0.0", "127.0.0.1.example.cn"])
def test_a_broker_elsewhere_needs_tls_or_a_word_that_it_may_be_read(file: Path, host: str) -> None:
    (file.parent / "ca.pem").touch()
    told = mistakes(file, f"broker: {{host: {host}}}")
    assert len(told) == 1
    assert "plain_text" in told[0]
    for allowed in ("plain_text: true", "tls: {ca_file: ca.pem}"):
        file.write_text(f"broker: {{host: {host}, {allowed}}}")
        assert settings.load(file).broker.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "'::1'", "localhost"])
def test_a_broker_on_this_machine_needs_no_tls(file: Path, host: str) -> None:
    file.write_text(f"broker: {{host: {host}}}")
    assert settings.load(file).broker.tls is None


def test_the_environment_wins_and_its_mistakes_name_the_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("web: {port: 1234, host: 127.0.0.2}")
    monkeypatch.setenv("LINLI_CLOUD__WEB__PORT", "4321")
    found = settings.load(file)
    assert (found.web.port, found.web.host) == (4321, "127.0.0.2")
    monkeypatch.setenv("LINLI_CLOUD__WEB__PORT", "70000")
    monkeypatch.setenv("LINLI_CLOUD__WEBB__PORT", "1")
    told = mistakes(file, "{}")
    assert [re.findall(r"LINLI_CLOUD__\w+", line) for line in told] == [
        ["LINLI_CLOUD__WEBB__PORT"], ["LINLI_CLOUD__WEB__PORT"],
    ]  # fmt: skip


def test_an_unreadable_variable_is_a_mistake_too(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINLI_CLOUD__SHARDS", "abc")
    assert "shards" in mistakes(file, "")[0]


def test_the_database_password_comes_from_its_file(file: Path) -> None:
    (file.parent / "secrets" / "pg").write_text("p@ss/word\n")
    file.write_text("database: {url: 'postgresql+psycopg://li@db/x', password_file: secrets/pg}")
    found = settings.load(file)
    assert settings.database_url(found) == "postgresql+psycopg://li:p%40ss%2Fword@db/x"
    assert "p@ss" not in repr(found)


def test_an_unreadable_or_empty_secret_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name in ("empty", "missing"):
        with pytest.raises(ConfigError):
            settings.secret(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read"):
        settings.load(tmp_path / "missing.yaml")


KEYS = st.sampled_from([*CloudSettings.model_fields, "host", "port", "kind", "url", "x"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20)


@given(
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_document_is_settings_or_mistakes(value: object) -> None:
    with contextlib.suppress(ConfigError):
        document = read_yaml(json.dumps(value), "any.yaml")
        settings.config_text.validate(document, CloudSettings)
