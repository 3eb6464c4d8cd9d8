"""A value that holds a secret does not show it when it is printed, in a log line or a traceback."""

import dataclasses
import importlib
import inspect
from collections.abc import Iterator

import pytest

from tests.architecture.test_doors import modules

WORDS = {"password", "secret", "token"}


def holders() -> Iterator[tuple[str, "dataclasses.Field[object]"]]:
    for name in modules():
        if name.startswith("cloud.kit.migrations") or name.endswith("__main__"):
            continue
        for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            if kind.__module__ == name and dataclasses.is_dataclass(kind):
                for field in dataclasses.fields(kind):
                    if field.name in WORDS and field.type in {str, "str", str | None}:
                        yield f"{name}.{kind.__name__}.{field.name}", field


FOUND = dict(holders())


def test_there_are_values_with_secrets() -> None:
    assert "edge.broker_link.BrokerAddress.password" in FOUND


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_secret_is_not_in_the_text_of_its_value(name: str) -> None:
    assert not FOUND[name].repr
