"""`linli sim`: simulate a fleet, write one, list the scenarios."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from contract.config_text import ConfigError
from firmware_sim.clock import SystemClock
from firmware_sim.control import Simulation, follow, stop_on_signals
from firmware_sim.errors import SimError
from firmware_sim.fleet import Scale, Site, write_fleet
from firmware_sim.fleet.files import HOST
from firmware_sim.inputs import scenario_folder
from firmware_sim.plan import SimPlan, read_plan
from firmware_sim.scenario import Scenario, scenarios_in

app = typer.Typer(no_args_is_help=True, help="Devices in software that speak the real protocols.")


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(help="Folder with sim.yaml.")],
    *,
    control: Annotated[
        bool, typer.Option(help="Orders as JSON lines on stdin, events on stdout.")
    ] = False,
    scenario: Annotated[str | None, typer.Option(help="Play this scenario from the start.")] = None,
    speed: Annotated[
        float, typer.Option(min=0.1, max=1000, help="How fast plants and scenarios run.")
    ] = 1.0,
) -> None:
    """Simulate the devices of DIR/sim.yaml until stopped."""
    _log_to_stderr()
    try:
        plan = read_plan(folder / "sim.yaml")
        asyncio.run(_run(plan, folder, control=control, scenario=scenario, speed=speed))
    except (ConfigError, SimError, OSError) as error:
        raise SystemExit(f"cannot simulate: {error}") from None
    except BaseExceptionGroup as group:
        expected, unexpected = group.split((SimError, OSError))
        if expected is None or unexpected is not None:
            raise
        reasons = "; ".join(str(error) for error in _leaves(expected))
        raise SystemExit(f"cannot simulate: {reasons}") from None


@app.command()
def fleet(
    out: Annotated[Path, typer.Option(help="Folder to write to; made when missing.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same community.")] = 1,
    scale: Annotated[Scale, typer.Option(help="The whole community, or a handful.")] = Scale.FULL,
    broker_host: Annotated[str, typer.Option(help="Where the edges find the broker.")] = HOST,
    broker_port: Annotated[int, typer.Option(min=1, max=65535)] = 1883,
    base_port: Annotated[
        int, typer.Option(min=1, max=65000, help="First of the ports the devices use.")
    ] = 21000,
    models: Annotated[Path | None, typer.Option(help="Folder of device models.")] = None,
    *,
    serial: Annotated[
        bool, typer.Option(help="Some lines on pseudo terminals; without, all are on TCP.")
    ] = True,
) -> None:
    """Write the Shuibei community: site.yaml, edge-N.yaml and sim.yaml."""
    site = Site(broker_host, broker_port, base_port, models, serial)
    try:
        summary = write_fleet(out, seed=seed, scale=scale, site=site)
    except (SimError, OSError) as error:
        raise SystemExit(f"cannot write the fleet: {error}") from None
    typer.echo(summary.text())


@app.command()
def scenarios(
    folder: Annotated[Path | None, typer.Option(help="Folder of scenarios.")] = None,
    *,
    schema: Annotated[bool, typer.Option(help="Print the JSON Schema instead.")] = False,
) -> None:
    """List the scenarios, or print what one may contain."""
    if schema:
        typer.echo(json.dumps(Scenario.model_json_schema(), indent=2, ensure_ascii=False))
        return
    try:
        for scenario in scenarios_in(folder or scenario_folder()):
            typer.echo(f"{scenario.name:20} {scenario.title_zh}  {scenario.description}")
    except ConfigError as error:
        raise SystemExit(str(error)) from None


async def _run(
    plan: SimPlan, folder: Path, *, control: bool, scenario: str | None, speed: float
) -> None:
    out = sys.stdout if control else None
    simulation = Simulation(plan, folder, SystemClock(speed), out, speed)
    stop_on_signals(simulation.stop)
    if control:
        follow(sys.stdin.fileno(), simulation.received)
    await simulation.run(scenario)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    app()
