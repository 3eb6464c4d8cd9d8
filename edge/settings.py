"""The edge node's configuration: read, completed from the environment, checked to the last line, then used.

Nothing is opened before all of it is right, and all mistakes are told at once.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Self, Union
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource

from contract.config_text import ConfigError, Document, Mistake, mistakes_of, read_yaml
from contract.config_text import Path as KeyPath
from contract.metrics import METRICS
from edge.broker_link import BrokerAddress, TlsFiles
from edge.driver import DriverSettings
from edge.drivers import driver_kinds
from edge.reflex import Action, Rule

NAME: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
_PLACE: Final = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*")
Name = Annotated[str, Field(pattern=NAME, max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeSettings(_Part):
    """Who this node is."""

    id: Name = Field(description="Id of the node, unique in the whole system, printed on the box.")
    name: str = Field(default="", max_length=100, description="Name for people.")
    timezone: str = Field(
        default="Asia/Shanghai", description="Zone in which devices without a zone tell time."
    )

    @model_validator(mode="after")
    def _zone_exists(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"no time zone {self.timezone!r}; write Asia/Shanghai") from None
        return self


class TlsSettings(_Part):
    """PEM files; relative paths count from the configuration file."""

    ca_file: str = Field(description="Certificate authority of the broker.")
    cert_file: str | None = Field(default=None, description="This node's certificate.")
    key_file: str | None = Field(default=None, description="This node's private key.")


class UplinkSettings(_Part):
    """The broker to the cloud."""

    host: str = Field(min_length=1, max_length=253, description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="Port of the broker.")
    username: str = Field(min_length=1, max_length=64, description="Broker user: the node's id.")
    password_file: str = Field(description="File with the password in its first line.")
    tls: TlsSettings | None = Field(default=None, description="Encryption; leave out on loopback.")
    backfill_per_s: float = Field(
        default=10.0,
        ge=0.1,
        le=1000,
        description="Backlog messages (100 readings each) a second after an outage.",
    )


class SpoolSettings(_Part):
    """Where readings, alarms and events wait for the cloud."""

    path: str = Field(default="spool.db", description="File; relative to the configuration file.")
    limit_mb: float = Field(
        default=512, ge=8, le=1_048_576, description="Disk it may take, a quarter kept for alarms."
    )


class WhenSettings(_Part):
    """The condition of a reflex: one of `above` and `below`."""

    device: Name = Field(description="Device that measures.")
    metric: str = Field(description="Metric that is looked at.")
    above: float | None = Field(default=None, description="Fires above, in the metric's unit.")
    below: float | None = Field(default=None, description="Fires below, in the metric's unit.")
    clear_below: float | None = Field(default=None, description="Armed anew below this.")
    clear_above: float | None = Field(default=None, description="Armed anew above this.")
    for_s: float = Field(default=0.0, ge=0, le=3600, description="How long it must last.")

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("give one of 'above' and 'below'")
        if self.above is not None:
            if self.clear_above is not None:
                raise ValueError("'above' clears by 'clear_below'")
            if self.clear_below is not None and self.clear_below > self.above:
                raise ValueError("'clear_below' must not be higher than 'above'")
        if self.below is not None:
            if self.clear_below is not None:
                raise ValueError("'below' clears by 'clear_above'")
            if self.clear_above is not None and self.clear_above < self.below:
                raise ValueError("'clear_above' must not be lower than 'below'")
        return self


class ActionSettings(_Part):
    """One output to set."""

    device: Name = Field(description="Device that has the output.")
    metric: str = Field(description="Output: valve_open, sounder_on.")
    value: float = Field(description="What to set, in the metric's unit.")


class ReflexSettings(_Part):
    """What the node does by itself, cloud or no cloud."""

    id: Name = Field(description="Name of the reflex.")
    when: WhenSettings = Field(description="Condition.")
    do: tuple[ActionSettings, ...] = Field(min_length=1, max_length=16, description="Actions.")

    def rule(self) -> Rule:
        """Give the rule that the engine runs."""
        when = self.when
        limit = when.above if when.above is not None else when.below
        clear = when.clear_below if when.above is not None else when.clear_above
        return Rule(
            self.id,
            when.device,
            when.metric,
            when.above,
            when.below,
            clear if clear is not None else limit or 0.0,
            when.for_s,
            tuple(Action(item.device, item.metric, item.value) for item in self.do),
        )


class EdgeSettings(_Part):
    """The whole file."""

    edge: NodeSettings = Field(description="Who this node is.")
    uplink: UplinkSettings = Field(description="The broker to the cloud.")
    spool: SpoolSettings = Field(default_factory=SpoolSettings, description="The node's memory.")
    models: str = Field(default="devices", description="Folder of device models.")
    drivers: tuple[DriverSettings, ...] = Field(description="Lines and listeners.")
    reflexes: tuple[ReflexSettings, ...] = Field(default=(), description="Local decisions.")


class _Environment(BaseSettings):
    """The parts that the environment may override: LINLI_EDGE__UPLINK__HOST."""

    edge: dict[str, Any] = {}
    uplink: dict[str, Any] = {}
    spool: dict[str, Any] = {}
    models: str = ""


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """A configuration that was found right, with what its paths point to."""

    settings: EdgeSettings
    models_dir: Path
    spool_path: Path
    address: BrokerAddress
    rules: tuple[Rule, ...]


@cache
def settings_model() -> type[EdgeSettings]:
    """Give the model of the file with every driver kind that is there."""
    kinds = tuple(kind.settings for kind in driver_kinds().values())
    entry: Any = Union[kinds]  # noqa: UP007 - built from what is found
    if len(kinds) > 1:
        entry = Annotated[entry, Field(discriminator="kind")]
    field = Field(description="Lines and listeners.")
    return create_model("Edge", __base__=EdgeSettings, drivers=(tuple[entry, ...], field))


def schema() -> dict[str, Any]:
    """Give the JSON Schema of the configuration file."""
    found = settings_model().model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def load(path: Path) -> EdgeConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: with every mistake; also when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(str(path), 0, "", f"cannot be read: {error}")]) from None
    return judge(text, path)


def judge(text: str, path: Path) -> EdgeConfig:
    """Check the text of a configuration as if it stood in `path`.

    Raises:
        ConfigError: with every mistake at once.
    """
    read = read_yaml(text, path.name)
    if not isinstance(read.value, dict):
        raise ConfigError([Mistake(path.name, 1, "", "is no mapping of settings")])
    overrides = EnvSettingsSource(
        _Environment, env_prefix="LINLI_EDGE__", env_nested_delimiter="__"
    )()
    document = Document(read.file, _merged(read.value, overrides), read.lines)
    mistakes: list[Mistake] = []
    settings: EdgeSettings | None = None
    try:
        settings = settings_model().model_validate(document.value)
    except ValidationError as error:
        mistakes = mistakes_of(error, document, settings_model())
    folder = path.parent
    models_dir = folder / str(document.value.get("models") or "devices")
    mistakes += _cross_check(document)
    mistakes += _kind_check(document, models_dir)
    mistakes += _file_check(document, folder, models_dir)
    if mistakes or settings is None:
        raise ConfigError(_once(mistakes))
    return _complete(settings, folder, models_dir)


def _complete(settings: EdgeSettings, folder: Path, models_dir: Path) -> EdgeConfig:
    uplink = settings.uplink
    tls = None
    if uplink.tls is not None:
        tls = TlsFiles(
            folder / uplink.tls.ca_file,
            folder / uplink.tls.cert_file if uplink.tls.cert_file else None,
            folder / uplink.tls.key_file if uplink.tls.key_file else None,
        )
    password = (folder / uplink.password_file).read_text(encoding="utf-8").splitlines()[0].strip()
    return EdgeConfig(
        settings,
        models_dir,
        folder / settings.spool.path,
        BrokerAddress(uplink.host, uplink.port, settings.edge.id, uplink.username, password, tls),
        tuple(reflex.rule() for reflex in settings.reflexes),
    )


def _merged(value: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(value)
    for key, item in overrides.items():
        if isinstance(item, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], item)
        elif item:
            merged[key] = item
    return merged


def _once(mistakes: list[Mistake]) -> list[Mistake]:
    """Keep one mistake for a path and a message; the first pass speaks before the second."""
    seen: dict[tuple[int, str, str], Mistake] = {}
    for mistake in mistakes:
        seen.setdefault((mistake.line, mistake.path, mistake.message), mistake)
    return list(seen.values())


def _kind_check(document: Document, models_dir: Path) -> Iterator[Mistake]:
    """Let each kind look at its own entry, also when other entries are wrong."""
    for index, entry in enumerate(_list(document.value.get("drivers"))):
        kind = driver_kinds().get(str(entry.get("kind"))) if isinstance(entry, dict) else None
        if kind is None:
            continue
        try:
            settings = kind.settings.model_validate(entry)
        except ValidationError:
            continue
        for complaint in kind.check(settings, models_dir):
            path: KeyPath = ("drivers", index, *complaint.path)
            yield document.mistake(path, complaint.message, complaint.hint)


def _file_check(document: Document, folder: Path, models_dir: Path) -> Iterator[Mistake]:
    if not models_dir.is_dir():
        yield document.mistake(("models",), f"no folder {models_dir}")
    uplink = document.value.get("uplink")
    if not isinstance(uplink, dict):
        return
    wanted: list[tuple[KeyPath, Any]] = [(("uplink", "password_file"), uplink.get("password_file"))]
    tls = uplink.get("tls")
    if isinstance(tls, dict):
        keys = ("ca_file", "cert_file", "key_file")
        wanted.extend((("uplink", "tls", key), tls.get(key)) for key in keys)
    for path, name in wanted:
        if not isinstance(name, str):
            continue
        try:
            is_empty = not (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            yield document.mistake(path, f"{folder / name} cannot be read: {reason}")
            continue
        if is_empty:
            yield document.mistake(path, f"{folder / name} is empty")


def _cross_check(document: Document) -> Iterator[Mistake]:
    """Find what only shows across devices; works on raw values, so that it speaks beside other mistakes."""
    drivers = _list(document.value.get("drivers"))
    if not drivers:
        yield document.mistake(("drivers",), "no drivers", "list at least one line or listener")
    ids: dict[str, KeyPath] = {}
    doors: dict[str, KeyPath] = {}
    for index, entry in enumerate(drivers):
        for path, mapping in _mappings(entry, ("drivers", index)):
            yield from _unique(document, ids, mapping.get("id"), (*path, "id"), "id")
            place = mapping.get("place")
            if isinstance(place, str) and place and not _PLACE.fullmatch(place):
                yield document.mistake(
                    (*path, "place"), f"{place!r} is no path of places", "b01/f02/r201"
                )
            for key, door in _doors(path, mapping):
                yield from _unique(document, doors, door, (*path, key), "port")
    names: dict[str, KeyPath] = {}
    for index, reflex in enumerate(_list(document.value.get("reflexes"))):
        if isinstance(reflex, dict):
            where: KeyPath = ("reflexes", index)
            yield from _unique(document, names, reflex.get("id"), (*where, "id"), "id")
            yield from _targets(document, reflex, where, ids)


def _targets(
    document: Document, reflex: dict[str, Any], path: KeyPath, ids: Mapping[str, KeyPath]
) -> Iterator[Mistake]:
    parts: list[tuple[KeyPath, Any]] = [((*path, "when"), reflex.get("when"))]
    parts += [((*path, "do", at), item) for at, item in enumerate(_list(reflex.get("do")))]
    for where, part in parts:
        if not isinstance(part, dict):
            continue
        for key, known, what in (("device", ids, "no device"), ("metric", METRICS, "no metric")):
            name = part.get(key)
            if isinstance(name, str) and name not in known:
                yield document.mistake((*where, key), f"{what} {name!r}", _close(name, known))


def _close(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else ""


def _unique(
    document: Document, seen: dict[str, KeyPath], value: object, path: KeyPath, what: str
) -> Iterator[Mistake]:
    if not isinstance(value, str):
        return
    if value in seen:
        line = document.line_of(seen[value])
        yield document.mistake(path, f"{what} {value} is used twice", f"first on line {line}")
    seen.setdefault(value, path)


def _doors(path: KeyPath, mapping: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what only one driver may open: a serial line, a listening port."""
    if mapping.get("type") == "serial" and mapping.get("port"):
        yield "port", str(mapping["port"])
    elif path[-1] == "listen" and mapping.get("port"):
        yield "port", f"{mapping.get('host', '')}:{mapping['port']}"


def _mappings(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from _mappings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mappings(item, (*path, index))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
