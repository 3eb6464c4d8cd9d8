"""Reads the rules from their folder: all mistakes at once, each with file and line."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from cloud.alerts.rule import Rule
from cloud.alerts.rules import rule_kinds
from cloud.alerts.rules.combination import CombinationRule
from cloud.alerts.rules.device_alarm import DeviceAlarmRule
from contract.config_text import ConfigError, Document, Mistake, read_yaml, validate

ANYTHING: Final = "*"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of rules."""

    name: str
    text: str


@cache
def file_model() -> type[BaseModel]:
    """Give the model of a rules file, made of all kinds of rules that were found."""
    union: Any = reduce(operator.or_, rule_kinds().values())
    rules: Any = tuple[Annotated[union, Field(discriminator="kind")], ...]
    return create_model(
        "RulesFile",
        __config__=ConfigDict(frozen=True, extra="forbid"),
        __doc__="One file of alert rules.",
        rules=(rules, Field(description="Rules; their order means nothing.")),
    )


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a rules file, for editors and for `config/rules.schema.json`."""
    found = file_model().model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def read_folder(folder: Path) -> list[Source]:
    """Read every `*.yaml` of a folder, in the order of their names.

    Raises:
        ConfigError: the folder or a file cannot be read, or there is none.
    """
    try:
        sources = [
            Source(path.name, path.read_text(encoding="utf-8"))
            for path in sorted(folder.glob("*.yaml"))
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(str(folder), 0, "", f"cannot be read: {error}")]) from None
    if not sources:
        raise ConfigError([Mistake(str(folder), 0, "", "no rules: no *.yaml file is here")])
    return sources


def parse(sources: Sequence[Source], *, must_catch_all: bool = True) -> tuple[Rule, ...]:
    """Read rules from their texts and check them against each other.

    Args:
        sources: the files.
        must_catch_all: demand a rule for alarms that no other rule names, so that none is lost.

    Raises:
        ConfigError: with every mistake of every file.
    """
    mistakes: list[Mistake] = []
    placed: list[tuple[Document, int, Rule]] = []
    for source in sources:
        try:
            document = read_yaml(source.text, source.name)
            rules: Iterable[Rule] = getattr(validate(document, file_model()), "rules", ())
        except ConfigError as error:
            mistakes.extend(error.mistakes)
            continue
        placed.extend((document, index, rule) for index, rule in enumerate(rules))
    mistakes += _twice(placed)
    if not mistakes:
        mistakes += _unknown_sources(placed)
    rules_found = tuple(rule for _, _, rule in placed)
    if must_catch_all and not mistakes and not any(map(_catches_all, rules_found)):
        mistakes.append(
            Mistake(
                sources[0].name if sources else "rules",
                0,
                "",
                "no rule catches alarms that no other rule names, they would be lost",
                "add a rule of kind device_alarm with alarms: ['*'] and no devices",
            )
        )
    if mistakes:
        raise ConfigError(mistakes)
    return rules_found


def load(folder: Path) -> tuple[Rule, ...]:
    """Read and check all rules of a folder.

    Raises:
        ConfigError: with every mistake of every file; what runs keeps its rules.
    """
    return parse(read_folder(folder))


def _catches_all(rule: Rule) -> bool:
    filters = rule.devices
    return (
        isinstance(rule, DeviceAlarmRule)
        and ANYTHING in rule.alarms
        and not (filters.kinds or filters.ids or filters.places)
    )


def _twice(placed: Sequence[tuple[Document, int, Rule]]) -> list[Mistake]:
    seen: dict[str, str] = {}
    found = []
    for document, index, rule in placed:
        path = ("rules", index, "id")
        if rule.id in seen:
            found.append(
                document.mistake(path, f"{rule.id!r} is the id of a rule in {seen[rule.id]} too")
            )
        seen.setdefault(rule.id, f"{document.file}:{document.line_of(path)}")
    return found


def _unknown_sources(placed: Sequence[tuple[Document, int, Rule]]) -> list[Mistake]:
    rules = {rule.id: rule for _, _, rule in placed}
    found = []
    for document, index, rule in placed:
        if not isinstance(rule, CombinationRule):
            continue
        for number, source in enumerate(rule.of):
            path = ("rules", index, "of", number)
            if source not in rules:
                found.append(document.mistake(path, f"there is no rule {source!r}"))
            elif isinstance(rules[source], CombinationRule):
                found.append(document.mistake(path, "a combination cannot count combinations"))
    return found
