"""Duties of every driver kind, found by folder; a new kind is held to them without touching this file."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from edge.driver import DriverSettings
from edge.drivers import driver_kinds
from tests.edge.drivers.driver_peers import ROOT, cases

KINDS = sorted(driver_kinds())
CHAPTERS = (
    "Wiring",
    "Registers",
    "Settings",
    "What it does when things go wrong",
    "Sources",
    "Confirm at commissioning",
)
IMPURE = {"asyncio", "socket", "time", "random", "structlog", "logging", "os", "pymodbus", "serial"}


def folder(kind: str) -> Path:
    return ROOT / "edge" / "drivers" / kind


def readme(kind: str) -> str:
    return (folder(kind) / "README.md").read_text(encoding="utf-8")


def models_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    queue: list[Any] = [model]
    seen: set[Any] = set()
    while queue:
        item = queue.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item not in seen:
                seen.add(item)
                yield item
                queue.extend(field.annotation for field in item.model_fields.values())
        else:
            queue.extend(getattr(item, "__args__", ()))


def is_unbounded(schema: dict[str, Any]) -> bool:
    """Tell whether a plain number, text or list is accepted without any bound."""
    options = schema.get("anyOf", [schema])
    bounds = {
        "integer": ("minimum", "exclusiveMinimum", "enum", "const"),
        "string": ("maxLength", "pattern", "enum", "const"),
        "array": ("maxItems",),
    }
    return any(
        option.get("type") in bounds and not any(key in option for key in bounds[option["type"]])
        for option in options
    )


def test_the_kinds_of_the_first_house_are_there() -> None:
    assert {"gb26875", "modbus"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_described(kind: str) -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model in models_of(driver_kinds()[kind].settings)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert not bare


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_bounded_and_nothing_unknown_is_taken(kind: str) -> None:
    for model in models_of(driver_kinds()[kind].settings):
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("frozen"), model
        own = set(model.model_fields) - set(DriverSettings.model_fields)
        schema = model.model_json_schema()["properties"]
        assert not [name for name in own if is_unbounded(schema[name])], model


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_have_a_schema(kind: str) -> None:
    assert json.dumps(driver_kinds()[kind].settings.model_json_schema())


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_others_are_there_with_their_sources_and_decode(kind: str) -> None:
    decoded = 0
    for case in cases(kind):
        assert case["source"]
        assert case["basis"]
        if case["kind"] == "decode":
            rows = list(driver_kinds()[kind].decode(bytes.fromhex(case["frame_hex"])))
            assert all(row.ok for row in rows), case["id"]
            assert json.dumps([dict(row.fields) for row in rows])
            decoded += 1
    assert decoded


def seeds(kind: str) -> list[bytes]:
    return [bytes.fromhex(case["frame_hex"]) for case in cases(kind) if "frame_hex" in case]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_and_mutated_bytes_give_rows_and_nothing_else(
    kind: str, data: st.DataObject
) -> None:
    frame = bytearray(data.draw(st.sampled_from(seeds(kind))))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)))):
        if at < len(frame):
            frame[at] = byte
    noise = data.draw(st.binary(max_size=40))
    capture = noise + bytes(frame) + noise
    for row in driver_kinds()[kind].decode(capture):
        assert row.ok == (not row.error)
        assert 0 <= row.consumed <= len(capture)
        assert json.dumps(dict(row.fields))


@pytest.mark.parametrize("kind", KINDS)
def test_a_twin_in_the_simulator_speaks_the_same_wire(kind: str) -> None:
    named = re.search(r"^Twin: `(firmware_sim/[a-z0-9_]+)`$", readme(kind), re.MULTILINE)
    assert named
    assert (ROOT / named[1] / "__init__.py").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_is_complete_and_names_every_setting(kind: str) -> None:
    text = readme(kind)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(CHAPTERS)
    own = set(driver_kinds()[kind].settings.model_fields) - set(DriverSettings.model_fields)
    assert not [name for name in own if f"`{name}`" not in text]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_files_that_do_io_reach_outside(kind: str) -> None:
    impure = set()
    for path in folder(kind).glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        if names & IMPURE:
            impure.add(path.name)
    assert impure <= {"driver.py", "session.py", "unit.py"}
