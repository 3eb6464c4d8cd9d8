"""The commands of the edge node: `linli edge run | check-config | decode | schema | status`."""

import asyncio
import binascii
import difflib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import structlog
import typer

from contract.config_text import ConfigError
from edge.agent import check, run_agent
from edge.clock import SystemClock
from edge.driver import CaptureRow, DriverKind
from edge.drivers import driver_kinds
from edge.errors import SpoolLockedError
from edge.settings import load, schema
from edge.status import read_status

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The edge node: reads devices, keeps everything on disk, acts, publishes.",
)
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Configuration file (YAML).")]


def _set_up_logging() -> None:
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if is_terminal else [structlog.processors.format_exc_info]),
            # The pretty traceback prints every local variable, passwords among them.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if is_terminal
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _refuse(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)


@app.command()
def run(config: ConfigOption) -> None:
    """Run the node until it is told to stop (Ctrl-C, SIGTERM)."""
    _set_up_logging()
    try:
        asyncio.run(run_agent(config, SystemClock()))
    except (ConfigError, SpoolLockedError) as error:
        raise _refuse(error) from None


@app.command("check-config")
def check_config(config: ConfigOption) -> None:
    """Check a configuration completely: prints OK, or every mistake with file and line."""
    try:
        found = load(config)
        inventory = check(found, config.name, SystemClock())
    except ConfigError as error:
        raise _refuse(error) from None
    devices, metrics = len(inventory.devices) - 1, len(inventory.metrics)
    typer.echo(
        f"OK: {found.settings.edge.id}, {len(found.settings.drivers)} drivers, "
        f"{devices} devices, {metrics} metrics, {len(found.rules)} reflexes"
    )


@app.command()
def decode(
    kind: Annotated[str, typer.Argument(help="Kind of driver: gb26875, modbus …")],
    file: Annotated[str, typer.Argument(help="File, or - for standard input.")] = "-",
) -> None:
    """Decode captured frames: hex a line, or raw bytes in; one JSON object a line out."""
    found = driver_kinds().get(kind)
    if found is None:
        known = sorted(driver_kinds())
        close = difflib.get_close_matches(kind, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise _refuse(ValueError(f"no driver kind {kind!r} ({hint})"))
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise _refuse(error) from None
    is_good = True
    for row in decode_capture(found, content):
        is_good = is_good and row.ok
        typer.echo(json.dumps(row_json(row), ensure_ascii=False))
    raise typer.Exit(0 if is_good else 1)


def decode_capture(kind: DriverKind, content: bytes) -> Iterator[CaptureRow]:
    """Decode text of hex lines, or bytes as they were captured when it is no text."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        yield from kind.decode(content)
        return
    if any(not (char.isprintable() or char.isspace()) for char in text):
        yield from kind.decode(content)
        return
    for line in text.splitlines():
        digits = "".join(line.split()).replace(":", "").replace("-", "")
        if not digits or line.lstrip().startswith("#"):
            continue
        try:
            frame = binascii.unhexlify(digits)
        except binascii.Error as error:
            yield CaptureRow(ok=False, consumed=0, fields={}, error=f"not hexadecimal: {error}")
            continue
        yield from kind.decode(frame)


def row_json(row: CaptureRow) -> dict[str, object]:
    """Give the JSON object of one row: `ok`, `consumed`, then the fields or the error."""
    found: dict[str, object] = {"ok": row.ok, "consumed": row.consumed, **row.fields}
    if row.error:
        found["error"] = row.error
    return found


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the configuration file."""
    typer.echo(json.dumps(schema(), ensure_ascii=False, indent=2))


@app.command()
def status(config: ConfigOption) -> None:
    """Print the node's last status (written every two seconds while it runs)."""
    try:
        folder = load(config).spool_path.parent
    except ConfigError as error:
        raise _refuse(error) from None
    found = read_status(folder)
    if found is None:
        raise _refuse(ValueError(f"no status in {folder}; the node has not run yet"))
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    app()
