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
    "degraded": "[yellow]◐ degraded[/]",
    "down": "[red]✕ down    [/]",
}
WIDE: Final = 118


class HealthBoard:
    """Prints a part's line when its state changes, so a log of the terminal stays readable."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, str] = {}
        self._were_ok: set[str] = set()

    def show(self, rows: Sequence[Health]) -> None:
        """Print the lines of the parts whose state changed since the last call."""
        for row in rows:
            if self._last.get(row.part) != row.state:
                self._last[row.part] = row.state
                if row.state == "ok":
                    self._were_ok.add(row.part)
                was_ok = row.state == "starting" and row.part in self._were_ok
                self._console.print(
                    f"  {MARK['degraded' if was_ok else row.state]} [bold]{row.part:<14}[/] {row.detail}",
                    soft_wrap=True,
                )


def hop_table(rows: Sequence[HopRow], width: int) -> Table:
    """Lay out the delays of every emergency for a terminal of `width` columns."""
    table = Table(
        title="from the wire to the event stream, in milliseconds",
        title_justify="left",
        caption="polled: counted from the reading that shows it · –: raised by the clock, after holding its time",
        caption_justify="left",
        expand=False,
        collapse_padding=width < WIDE,
        pad_edge=width >= WIDE,
    )
    table.add_column("emergency")
    table.add_column("device", no_wrap=True)
    table.add_column("P", no_wrap=True)
    long = ("device→edge", "edge→cloud", "cloud→alert", "alert→screen", "total")
    for name in long if width >= WIDE else ("→edge", "→cloud", "→alert", "→screen", "total"):
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
