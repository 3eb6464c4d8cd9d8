"""Settings as rows of a table, read out of their JSON Schema: path, what fits, default, meaning. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]
_KINDS: Final = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "object": "mapping",
}
_FORMATS: Final = {"path": "path", "duration": "duration"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `path` as in a mistake's message, with the kind between brackets: `drivers[modbus].retries`."""

    path: str
    fits: str
    default: str
    meaning: str


class SettingsTable:
    """Walks one schema.

    Args:
        schema: as pydantic writes it, with its `$defs`.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def rows(self) -> Iterator[Setting]:
        """Give every setting in the order of the file's model, a group before what is in it."""
        yield from self._inside(self._schema, "")

    def _inside(self, found: Schema, path: str) -> Iterator[Setting]:
        required = found.get("required", ())
        for name, field in found.get("properties", {}).items():
            where = f"{path}.{name}" if path else name
            yield from self._field(field, where, is_required=name in required)

    def _field(self, field: Schema, path: str, *, is_required: bool) -> Iterator[Setting]:
        found = self._resolved(field)
        meaning = field.get("description") or found.get("description", "")
        default = "required" if is_required else _default(field)
        children = list(self._children(found, path))
        is_plain_group = bool(children) and found.get("type") == "object" and not is_required
        if not children or is_plain_group or found.get("type") == "array":
            shown = "" if is_plain_group and isinstance(field.get("default"), dict) else default
            yield Setting(path, self._fits(found), shown, " ".join(meaning.split()))
        yield from children

    def _children(self, found: Schema, path: str) -> Iterator[Setting]:
        if found.get("type") == "array":
            yield from self._children(self._resolved(found.get("items", {})), f"{path}[]")
            return
        if "oneOf" in found:
            tag = found["discriminator"]["propertyName"]
            for reference in found["oneOf"]:
                variant = self._resolved(reference)
                name = variant["properties"][tag]["const"]
                yield from self._inside(variant, f"{path.removesuffix('[]')}[{name}]")
            return
        yield from self._inside(found, path)

    def _resolved(self, field: Schema) -> Schema:
        """Follow references, and see through `or null`."""
        while True:
            options = [item for item in field.get("anyOf", ()) if item.get("type") != "null"]
            if "$ref" in field:
                field = self._schema["$defs"][field["$ref"].rpartition("/")[2]]
            elif len(options) == 1:
                field = options[0]
            else:
                return field

    def _fits(self, found: Schema) -> str:
        if "const" in found:
            return f"`{found['const']}`"
        if "enum" in found:
            return ", ".join(f"`{item}`" for item in found["enum"])
        if "prefixItems" in found:
            return " and ".join(self._fits(self._resolved(item)) for item in found["prefixItems"])
        kind = found.get("type", "")
        if kind == "array":
            items = self._resolved(found.get("items", {}))
            inner = "" if {"properties", "oneOf"} & items.keys() else f" of {self._fits(items)}"
            return f"list{inner}{_span(found, 'minItems', 'maxItems')}"
        if kind == "object" and "properties" not in found:
            return "mapping"
        name = _FORMATS.get(found.get("format", ""), _KINDS.get(kind, kind))
        length = _span(found, "minLength", "maxLength", " characters")
        return f"{name}{_span(found, 'minimum', 'maximum') or length}"


def _span(found: Schema, low: str, high: str, what: str = "") -> str:
    """Write bounds as people do; an exclusive one of numbers as `above`."""
    first, last = found.get(low), found.get(high)
    above = found.get("exclusiveMinimum") if low == "minimum" else None
    if first is not None and last is not None:
        return f", {first} to {last}{what}"
    parts = [
        f"{word} {number}{what}"
        for word, number in (("above", above), ("at least", first), ("at most", last))
        if number is not None
    ]
    return f", {', '.join(parts)}" if parts else ""


def _default(field: Schema) -> str:
    default = field.get("default")
    if default is None or default in ("", [], {}):
        return ""
    text = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{text}`"


def settings_table(schema: Schema) -> str:
    """Write a schema's settings as a Markdown table."""
    rows = [
        f"| `{row.path}` | {row.fits} | {row.default} | {row.meaning.replace('|', chr(92) + '|')} |"
        for row in SettingsTable(schema).rows()
    ]
    head = "| setting | what fits | default | meaning |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"
