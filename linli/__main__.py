"""Entry point of the `linli` command: mounts the commands of the part that is asked for, and nothing else."""

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Final

import typer


@dataclass(frozen=True, slots=True)
class Part:
    """One group of commands; its module is imported only when it is called, so an edge box needs no cloud libraries."""

    name: str
    module: str
    help: str


PARTS: Final = (
    Part(
        "up",
        "linli.up.command",
        "Start the whole demonstration community, or prove that it works (--check).",
    ),
    Part("edge", "edge.__main__", "Run, check and diagnose an edge node."),
    Part("cloud", "cloud.__main__", "Run and look after the cloud service."),
    Part("sim", "firmware_sim.__main__", "Devices in software that speak the real wire protocols."),
    Part(
        "broker",
        "linli.broker",
        "Run the embedded MQTT broker (used where Mosquitto is not installed).",
    ),
)


def build(arguments: list[str]) -> typer.Typer:
    """Build the command tree for these arguments: real commands for the part named, help lines for the others."""
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    app = typer.Typer(
        name="linli",
        help="Linli (邻里): from a sensor's bytes to the duty screen, nothing lost.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        add_completion=False,
    )

    @app.callback()
    def _root() -> None:
        """Linli (邻里): from a sensor's bytes to the duty screen, nothing lost."""

    for part in PARTS:
        if part.name == wanted:
            app.add_typer(_load(part), name=part.name, help=part.help)
        else:
            app.add_typer(typer.Typer(), name=part.name, help=part.help)
    return app


def _load(part: Part) -> typer.Typer:
    try:
        loaded: typer.Typer = importlib.import_module(part.module).app
    except ModuleNotFoundError as error:
        if error.name == part.module.split(".")[0]:
            sys.exit(f"linli {part.name}: this part is not installed here")
        if error.name and error.name.split(".")[0] in {"edge", "cloud", "firmware_sim", "linli"}:
            raise
        sys.exit(
            f"linli {part.name}: the library {error.name!r} is not installed here; "
            f"install this part's libraries, for example: pip install 'linli[{part.name}]'"
        )
    return loaded


def main() -> None:
    """Run the `linli` command; Ctrl-C while it is still being loaded is no error to show.

    Whatever is written (databases with sessions, spools, backups, secrets) is for this user alone.
    """
    os.umask(0o077)
    try:
        build(sys.argv[1:])()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
