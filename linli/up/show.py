"""What `linli up` shows in the terminal: a line a part when its health changes, and the table of hops."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from linli.up.health import Health
from linli.up.proof import HopRow

MARK: Final = {
    "ok": "[green]● ok      [/]",
    "starting": "[yellow]◐ starting[/]",
    "down": "[red]✕ down    [/]",
}


class HealthBoard:
    """Prints a part's line when its state changes, so a log of the terminal stays readable."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, str] = {}

    def show(self, rows: Sequence[Health]) -> None:
        """Print the lines of the parts whose state changed since the last call."""
        for row in rows:
            if self._last.get(row.part) != row.state:
                self._last[row.part] = row.state
                self._console.print(
                    f"  {MARK[row.state]} [bold]{row.part:<16}[/] {row.detail}", soft_wrap=True
                )


def hop_table(rows: Sequence[HopRow]) -> Table:
    """Lay out the delays of every emergency."""
    table = Table(title="from the wire to the event stream, in milliseconds", title_justify="left")
    table.add_column("emergency")
    table.add_column("device", no_wrap=True)
    table.add_column("P", no_wrap=True)
    for name in ("device→edge", "edge→cloud", "cloud→alert", "alert→screen", "total"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        delays = (row.link_ms, row.decide_ms, row.stream_ms, row.total_ms)
        table.add_row(
            row.emergency,
            row.device,
            str(row.priority),
            "polled" if row.wire_ms is None else str(row.wire_ms),
            *("–" if delay is None else str(delay) for delay in delays),
        )
    return table
