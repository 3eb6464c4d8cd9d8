"""Configuration as text: YAML read with line numbers, mistakes told with file, line and path.

A configuration crosses the wire (`down/config`) and both sides judge it, so the judging stands
here. Pure: text in, values or mistakes out.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from typing_extensions import override

Path = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)
DEPTH_LIMIT: Final = 40
TEXT_LIMIT: Final = 8_388_608
NUMBER_LIMIT: Final = 1 << 63
_UNREADABLE: Final = re.compile("[\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Halves of characters, which no file or database takes, and marks that make a text read otherwise than it is."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing wrong in a configuration file; `line` counts from 1, 0 when the whole file is meant."""

    file: str
    line: int
    path: str
    message: str
    hint: str = ""

    @override
    def __str__(self) -> str:
        """Give the line an installer reads: `edge.yaml:12: lines[0].timeout_ms: …`."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(ValueError):
    """A configuration cannot be used: show all mistakes, keep what runs running."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML text as plain values, with the line on which each of them stands."""

    file: str
    value: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """Give the line of a path, or of its nearest known parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def mistake(self, path: Path, message: str, hint: str = "") -> Mistake:
        """Tell a mistake at a path of this document."""
        return Mistake(self.file, self.line_of(path), path_text(path), message, hint)


def path_text(path: Path) -> str:
    """Write a path as people do: `lines[2].devices[0].unit`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Walker:
    """Turns YAML nodes into values and notes their lines; refuses aliases, duplicate keys and deep nesting."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self._constructor = yaml.constructor.SafeConstructor()
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - this is the border where text becomes values
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > DEPTH_LIMIT or id(node) in self._seen:
            self._wrong(node, path, "nested too deeply, or an alias (&, *), which is not supported")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - this is the border where text becomes values
        try:
            found = self._constructor.construct_object(node)
        # A tag that does not fit its text makes PyYAML stumble in any of these ways.
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError) as error:
            self._wrong(node, path, f"cannot be read: {error}")
            return None
        if isinstance(found, str) and _UNREADABLE.search(found):
            self._wrong(node, path, "holds half a character or a mark that turns text around")
        if isinstance(found, int) and abs(found) >= NUMBER_LIMIT:
            self._wrong(node, path, "is too large a number")
            return None
        return found

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if _UNREADABLE.search(key):
                self._wrong(key_node, path, "a key holds half a character or turns text around")
                continue
            if key in found:
                self._wrong(key_node, (*path, key), "is given twice", "remove one of them")
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*path, key))
        return found

    def _wrong(self, node: yaml.Node, path: Path, message: str, hint: str = "") -> None:
        line = node.start_mark.line + 1
        self.mistakes.append(Mistake(self.file, line, path_text(path), message, hint))


def read_yaml(text: str, file: str) -> Document:
    """Parse YAML text and remember where everything stands.

    Raises:
        ConfigError: not YAML, larger than 8 MiB, a key given twice, an alias, or nesting over 40
        levels.
    """
    if len(text) > TEXT_LIMIT:
        raise ConfigError(
            [Mistake(file, 0, "", f"{len(text)} characters, at most {TEXT_LIMIT} are read")]
        )
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 0
        raise ConfigError(
            [Mistake(file, line, "", f"not valid YAML: {problem}", "check indentation and quotes")]
        ) from None
    if node is None:
        return Document(file, {}, {(): 1})
    walker = _Walker(file)
    value = walker.value(node, ())
    if walker.mistakes:
        raise ConfigError(walker.mistakes)
    return Document(file, value, walker.lines)


def validate(document: Document, model: type[_Model]) -> _Model:
    """Check a document against a model.

    Raises:
        ConfigError: with every mistake at once; a misspelt key carries the close name that is
        known.
    """
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        raise ConfigError(mistakes_of(error, document, model)) from None


def mistakes_of(
    error: ValidationError, document: Document, model: type[BaseModel]
) -> list[Mistake]:
    """Turn pydantic's errors into mistakes of `document`."""
    known = _all_field_names(model)
    found = []
    for item in error.errors(include_url=False):
        path = _existing(document.value, tuple(item["loc"]))
        message, hint = item["msg"].removeprefix("Value error, "), ""
        if item["type"] == "extra_forbidden":
            name = str(item["loc"][-1])
            close = difflib.get_close_matches(name, known, 1)
            message = "is not a known setting"
            hint = f"did you mean {close[0]!r}?" if close else "remove it"
        elif item["type"] == "missing":
            message = f"{item['loc'][-1]!r} is missing"
        elif item["type"] in {"union_tag_invalid", "literal_error", "enum"}:
            wanted = str(
                item.get("ctx", {}).get("expected_tags") or item.get("ctx", {}).get("expected")
            )
            given = (
                str(item["input"].get("kind", ""))
                if isinstance(item["input"], dict)
                else str(item["input"])
            )
            close = difflib.get_close_matches(
                given, wanted.replace("'", "").replace(" or ", ", ").split(", "), 1
            )
            hint = f"did you mean {close[0]!r}?" if close else ""
        found.append(document.mistake(path, message, hint))
    return found


def _existing(value: Any, loc: Path) -> Path:  # noqa: ANN401 - walks the parsed YAML
    """Drop what pydantic adds to a location (names of union members) so that it is a path of the document."""
    path: Path = ()
    for index, part in enumerate(loc):
        if _has(value, part):
            value = value[part]
        elif index == len(loc) - 1 and isinstance(value, dict):
            return (*path, part)
        else:
            continue
        path = (*path, part)
    return path


def _has(value: object, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _all_field_names(model: type[BaseModel]) -> list[str]:
    names: set[str] = set()
    queue: list[Any] = [model]
    seen: set[Any] = set()
    while queue:
        item = queue.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item in seen:
                continue
            seen.add(item)
            for name, field in item.model_fields.items():
                names.add(field.alias or name)
                queue.append(field.annotation)
        else:
            queue.extend(getattr(item, "__args__", ()))
    return sorted(names)
