"""The commands of the edge node: `linli edge run | check-config | decode | schema | status`."""

import asyncio
import codecs
import difflib
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

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
USAGE: Final = 2
STATUS_AGE_S: Final = 15.0
# What people and tools put between the digits.
_NOT_DIGITS: Final = re.compile(r"0[xX](?=[0-9a-fA-F]{2})|\\x|[:,\-]")
_NOT_HEX: Final = re.compile(r"[^0-9a-fA-F]")
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


def _refuse(error: Exception, code: int = 1) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(code)


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
    *,
    pretty: Annotated[
        bool, typer.Option(help="Spread every object over lines, for people.")
    ] = False,
    raw: Annotated[
        bool, typer.Option(help="Take the bytes as they are, also when they look like hex text.")
    ] = False,
) -> None:
    """Decode captured frames: hex a line (several frames are fine), or raw bytes in; one JSON object a line out.

    Each object has `ok` and `consumed`, then the decoded fields or `error`. Spaces, `:`, `-`, `,`, `0x` and either case
    are read; blank lines and lines that begin with # are passed over. Ends with 0 when everything was decoded, 1 when
    something was not or there was nothing, 2 when the command itself is wrong.
    """
    found = driver_kinds().get(kind)
    if found is None:
        known = sorted(driver_kinds())
        close = difflib.get_close_matches(kind, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise _refuse(ValueError(f"no driver kind {kind!r} ({hint})"), USAGE)
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise _refuse(error, USAGE) from None
    rows = found.decode(content) if raw else decode_capture(found, content)
    is_good, count = True, 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - told after the loop
        is_good = is_good and row.ok
        typer.echo(json.dumps(row_json(row), ensure_ascii=False, indent=2 if pretty else None))
    if not count:
        raise _refuse(ValueError("nothing to decode: no line of hex and no bytes"))
    raise typer.Exit(0 if is_good else 1)


def decode_capture(kind: DriverKind, content: bytes) -> Iterator[CaptureRow]:
    """Decode text of hex lines, or bytes as they were captured when it is no text."""
    text = _as_text(content)
    if text is None:
        yield from kind.decode(content)
        return
    for line in text.splitlines():
        digits = "".join(_NOT_DIGITS.sub("", line).split())
        if not digits or line.lstrip().startswith("#"):
            continue
        wrong = _NOT_HEX.search(digits)
        if wrong or len(digits) % 2:
            reason = repr(wrong[0]) if wrong else f"{len(digits)} digits are half a byte too many"
            yield CaptureRow(ok=False, consumed=0, fields={}, error=f"not hexadecimal: {reason}")
            continue
        yield from kind.decode(bytes.fromhex(digits))


def _as_text(content: bytes) -> str | None:
    """Read a capture as text, also with a mark of Windows editors in front; None when it holds other bytes."""
    encoding = (
        "utf-16" if content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
    )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    is_text = all(char.isprintable() or char.isspace() for char in text)
    return text if is_text else None


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
    """Print the node's last status; exit code 1 when it is old: a running node writes it every two seconds."""
    try:
        folder = load(config).spool_path.parent
    except ConfigError as error:
        raise _refuse(error) from None
    found = read_status(folder)
    if found is None:
        raise _refuse(ValueError(f"no status in {folder}; the node has not run yet"))
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    age_s = (SystemClock().now_ms() - found["at"]) / 1_000
    if age_s > STATUS_AGE_S:
        raise _refuse(ValueError(f"this is {age_s:.0f} s old; the node does not run, or it hangs"))


if __name__ == "__main__":
    app()
