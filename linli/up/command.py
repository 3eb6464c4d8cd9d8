"""`linli up`: start the whole demonstration community, show its health, stop it cleanly; `--check` proves it."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from linli.up.client import ApiClient, ApiError
from linli.up.health import community_health, listens
from linli.up.home import LOOPBACK, Home, HomeError, Network, Ports, choose_ports, claimed
from linli.up.parts import (
    Community,
    FirstLogin,
    StartError,
    prepare_community,
    prepare_database,
    start_community,
)
from linli.up.proof import ProofError, prove, wait_for_devices, wait_until
from linli.up.show import HealthBoard, hop_table

PROJECT: Final = Path(__file__).parents[2]
INTERRUPTED: Final = 130

app = typer.Typer()
# A log or a pipe has no width of its own; the table of hops needs this much.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)


class Scale(StrEnum):
    """How much of the community is simulated."""

    FULL = "full"
    SMALL = "small"


class _StopRequestedError(Exception):
    """SIGTERM or a closed terminal: stop as for Ctrl-C."""


def _on_stop_signal(_number: int, _frame: FrameType | None) -> None:
    raise _StopRequestedError


@app.callback(invoke_without_command=True)
def up(
    context: typer.Context,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Prove it: four emergencies, each hop timed; then stop.")
    ] = False,
    home: Annotated[Path, typer.Option(help="Folder for stores, configurations, logs.")] = Path(
        "var/linli"
    ),
    web_port: Annotated[
        int, typer.Option(help="Port of the web pages; the next free one when taken.")
    ] = 8600,
    scale: Annotated[
        Scale, typer.Option(help="full: all 964 devices; small: a handful.")
    ] = Scale.FULL,
    embedded_broker: Annotated[
        bool, typer.Option(help="Use amqtt even where Mosquitto is installed.")
    ] = False,
) -> None:
    """Start broker, cloud, ingest worker, four edge nodes and the simulated fleet on this machine (loopback only)."""
    if context.invoked_subcommand is not None:
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_stop_signal)
    root = Path(tempfile.mkdtemp(prefix="linli-")) if check else home.resolve()
    code = _guarded(root, web_port, scale, embedded_broker=embedded_broker, check=check)
    if check and code != 1:
        shutil.rmtree(root, ignore_errors=True)
    elif check:
        _say(f"logs and stores of this failed proof are kept in {root}")
    raise typer.Exit(code)


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)


def _say_last(text: str) -> None:
    """Say it if there is still somebody to hear; a closed pipe must not keep the parts from being stopped."""
    with suppress(OSError, SystemExit):
        _say(text)


def _guarded(root: Path, web_port: int, scale: Scale, *, embedded_broker: bool, check: bool) -> int:
    """Run in a folder that is nobody else's and turn what goes wrong on purpose into words."""
    try:
        place = Home(root, choose_ports(web_port))
        with claimed(root, place.ports.web):
            return _run(place, scale, embedded_broker=embedded_broker, check=check)
    except (KeyboardInterrupt, _StopRequestedError):
        return INTERRUPTED if check else 0
    except (HomeError, StartError, ProofError, ApiError, RuntimeError, OSError) as error:
        _say(f"[bold red]failed[/] {escape(str(error))}")
        return 1


def _run(home: Home, scale: Scale, *, embedded_broker: bool, check: bool) -> int:
    _say(f"[bold]Linli[/] · {home.root}")
    _say("  writing the fleet, secrets and broker files …")
    broker = prepare_community(home, PROJECT, scale.value, embedded_broker=embedded_broker)
    _say("  bringing the database up to date …")
    login = prepare_database(home, PROJECT)
    community = start_community(home, PROJECT, broker, _say)
    community.login = login
    client = ApiClient(home.ports.web)
    board = HealthBoard(console)

    def tick() -> None:
        community.supervisor.watch()
        board.show(community_health(community, client))

    try:
        wait_until(
            lambda: listens(home.ports.web),
            90,
            tick,
            lambda: f"the cloud does not answer; see {home.logs}",
        )
        if check:
            return _check(community, client, login, tick)
        _greet(home, login)
        while True:
            tick()
            time.sleep(1)
    except (ProofError, ApiError, StartError):
        _print_log_tails(home)
        raise
    finally:
        _stop(community)


def _greet(home: Home, login: FirstLogin | None) -> None:
    if not (PROJECT / "dashboards" / "dist").is_dir():
        _say("\n  [yellow]the web pages are not built: call make web[/]")
    console.print(f"\n  open   [bold]http://127.0.0.1:{home.ports.web}[/]")
    if login is not None:
        console.print(
            f"  login  [bold]{login.username}[/]  password [bold]{login.password}[/]   (shown only now)"
        )
    else:
        console.print(
            f"  login  as before; forgotten: linli cloud set-password admin --config {_short(home.cloud_config)}",
            soft_wrap=True,
        )
    console.print("  Ctrl-C stops everything.\n")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _check(
    community: Community, client: ApiClient, login: FirstLogin | None, tick: Callable[[], None]
) -> int:
    simulator = community.simulator
    if login is None or simulator is None:
        raise StartError("the proof needs a new folder and the simulator")
    wait_until(
        simulator.ready.is_set,
        60,
        tick,
        lambda: f"the simulator is not ready; see {simulator.part.log}",
    )
    expected = next(event["devices"] for event in simulator.events if event.get("event") == "ready")
    client.sign_in(login.username, login.password)
    live = wait_for_devices(client, expected, tick)
    console.print(f"\n{live} of {expected} devices are live. Four emergencies begin.\n")
    rows = prove(community, client, tick)
    console.print(hop_table(rows, console.width))
    console.print(
        "[bold green]passed[/] every emergency was seen on the event stream; the gas valve was closed by its edge"
    )
    return 0


def _print_log_tails(home: Home) -> None:
    for log in sorted(home.logs.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:]
        if lines:
            console.print(f"[dim]── {log.name}[/]")
            for line in lines:
                console.print(line[:300], style="dim", markup=False)


def _stop(community: Community) -> None:
    # A second Ctrl-C while stopping must not leave parts behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _say_last("stopping …")
    if community.simulator is not None:
        community.simulator.closed.set()
    stubborn = community.supervisor.stop()
    _say_last(f"stopped{', killed: ' + ', '.join(stubborn) if stubborn else ' cleanly'}")


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    *,
    broker_host: Annotated[
        str, typer.Option(help="Where edges and cloud find the broker.")
    ] = "127.0.0.1",
    broker_port: Annotated[int, typer.Option(min=1, max=65535)] = 1883,
    web_bind: Annotated[str, typer.Option(help="Address the web pages listen on.")] = "127.0.0.1",
    web_port: Annotated[int, typer.Option(min=1, max=65535)] = 8600,
    field_port: Annotated[int, typer.Option(min=1024, max=60000)] = 20000,
    scale: Annotated[
        Scale, typer.Option(help="full: all 964 devices; small: a handful.")
    ] = Scale.FULL,
    serial: Annotated[
        bool, typer.Option(help="Serial lines on ptys; not across containers.")
    ] = True,
) -> None:
    """Write fleet, secrets, broker files and the cloud's configuration, and start nothing (for containers)."""
    everywhere = "0.0.0.0" if broker_host != LOOPBACK else LOOPBACK  # noqa: S104 - inside a container's own network
    network = Network(
        broker_host=broker_host, broker_bind=everywhere, web_bind=web_bind, serial_lines=serial
    )
    home = Home(
        folder.resolve(), Ports(broker=broker_port, web=web_port, field=field_port), network
    )
    try:
        prepare_community(home, PROJECT, scale.value, mosquitto="mosquitto")
    except (StartError, OSError) as error:
        _say(f"[bold red]failed[/] {escape(str(error))}")
        raise typer.Exit(1) from None
