"""Writes docs/reference.md from the code itself: commands, settings, channels, metrics, kinds, error codes."""

import importlib
import inspect
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

from typer.main import get_command

from cloud import errors
from cloud.devices.site import SiteFile
from cloud.kit.web import SHELL_CODES
from cloud.settings import json_schema as cloud_schema
from contract.codec import DECODERS
from contract.metrics import METRICS
from edge.drivers.modbus.model import DeviceModel
from edge.settings import schema as edge_schema
from linli.__main__ import PARTS
from linli.settings_table import Schema, settings_table

FILES: Final[dict[str, tuple[str, Callable[[], Schema]]]] = {
    "`edge.yaml`, the edge node": (
        "`edge`, `uplink`, `spool` and `models` can be overridden by the environment: `LINLI_EDGE__UPLINK__HOST`.",
        edge_schema,
    ),
    "`config/devices/*.yaml`, models of Modbus devices": (
        "See [the page on Modbus](protocols/modbus.md).",
        DeviceModel.model_json_schema,
    ),
    "`cloud.yaml`, the cloud service": (
        "Each can be overridden by the environment: `LINLI_CLOUD__WEB__PORT`.",
        cloud_schema,
    ),
    "`site.yaml`, the community": (
        "Imported by `linli cloud import-site`.",
        SiteFile.model_json_schema,
    ),
}
"""The files an installer writes: what to know of each, and its schema."""


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's tree is untyped here
    """Walk a command tree: the path as typed, and the command."""
    children = getattr(command, "commands", {})
    if not children or getattr(command, "invoke_without_command", False):
        yield path, command
    for name in sorted(children):
        yield from commands(children[name], f"{path} {name}")


def command_section() -> Iterator[str]:
    """Describe every command with its options."""
    yield "## Commands\n"
    for part in PARTS:
        tree = get_command(importlib.import_module(part.module).app)
        for path, command in commands(tree, f"linli {part.name}"):
            yield f"### `{path}`\n"
            yield f"{inspect.cleandoc(command.help or '')}\n"
            rows = [row for parameter in command.params if (row := option(parameter))]
            if rows:
                yield (
                    "| option | meaning | default |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
                )


def option(parameter: Any) -> str:  # noqa: ANN401 - click's tree is untyped here
    """Describe one option or argument as a row of a table; empty for `--help`."""
    if parameter.name == "help":
        return ""
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = parameter.name.upper()
    help_text = (getattr(parameter, "help", None) or "").replace("|", "\\|").replace("\n", " ")
    default = parameter.default
    shown = (
        ""
        if default is None or callable(default) or default is False or parameter.required
        else f"`{default}`"
    )
    return f"| `{names}` | {help_text} | {shown} |"


def settings_section() -> Iterator[str]:
    """Describe every setting of every file an installer writes; rules have a page of their own."""
    yield "## Settings\n"
    yield (
        "A name in brackets is the kind for which a setting holds. Paths are relative to the file that "
        "names them. Rules are described in [alerts](alerts.md).\n"
    )
    for title, (note, schema) in FILES.items():
        yield f"### {title}\n"
        yield f"{note}\n"
        yield settings_table(schema())


def channel_section() -> str:
    """List what crosses the wire between edge and cloud."""
    rows = []
    for channel, decoder in DECODERS.items():
        message = typing.get_type_hints(decoder)["return"]
        meaning = inspect.cleandoc(message.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{channel.value}` | `{message.__name__}` | {meaning} |")
    head = (
        "## Channels\n\nTopics are `linli/1/{shard}/{edge}/{channel}`. "
        "All fields stand in [asyncapi.yaml](asyncapi.yaml).\n\n"
        "| channel | message | meaning |\n| --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


def metric_section() -> str:
    """List the metrics."""
    rows = [
        f"| `{m.name}` | {m.unit} | {m.en} | {m.zh} | {m.retention.value} |"
        for m in METRICS.values()
    ]
    head = "## Metrics\n\n| name | unit | English | 中文 | kept as |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def error_section() -> str:
    """List the error codes an API answer may carry."""
    rows = []
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.CloudError):
            meaning = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
            rows.append((kind.status, f"| `{kind.code}` | {kind.status} | {meaning} |"))
    rows += [
        (status, f"| `{code}` | {status} | {meaning} |")
        for code, (status, meaning) in SHELL_CODES.items()
    ]
    head = "## Errors of the API\n\nEvery error answer is `{code, message, hint}`.\n\n"
    return (
        head
        + "| code | status | meaning |\n| --- | --- | --- |\n"
        + "\n".join(row for _, row in sorted(rows))
        + "\n"
    )


def kind_section(title: str, package: str) -> str:
    """List what is found by folder under a package, with the first sentence of each."""
    found = importlib.import_module(package)
    rows = []
    for module in sorted(pkgutil.iter_modules(found.__path__), key=lambda item: item.name):
        loaded = importlib.import_module(f"{package}.{module.name}")
        first = inspect.cleandoc(loaded.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{module.name}` | {first} |")
    return f"## {title}\n\n| kind | what |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def reference() -> str:
    """Give the whole page."""
    parts = [
        "# Reference\n\nWritten by `make schema` from the code; a test says when it is out of date.\n",
        *command_section(),
        *settings_section(),
        channel_section(),
        metric_section(),
        kind_section("Kinds of drivers", "edge.drivers"),
        kind_section("Kinds of rules", "cloud.alerts.rules"),
        error_section(),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(reference())
