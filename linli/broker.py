"""`linli broker`: the embedded MQTT broker as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from cloud.kit.broker import BrokerPlan, serve

app = typer.Typer(no_args_is_help=True)


@app.command()
def run(
    plan: Annotated[
        Path,
        typer.Argument(help="JSON file: bind, password_file, publish, subscribe.", exists=True),
    ],
) -> None:
    """Serve until stopped."""
    serve(BrokerPlan.read(plan))


@app.callback()
def _group() -> None:
    """Run the embedded MQTT broker (used where Mosquitto is not installed)."""
