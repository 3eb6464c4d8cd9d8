"""What the terminal shows: a line a change, and a table that fits."""

import io

import pytest
from rich.console import Console

from linli.up.health import Health
from linli.up.proof import HopRow
from linli.up.show import HealthBoard, hop_table

ROW = HopRow("hydrant losing pressure", "shuibei-pressure-001", "t", 2, None, None, None, 33, 1860)


def printed(width: int) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, highlight=False), out


@pytest.mark.parametrize("width", [80, 130])
def test_the_table_of_hops_fits_and_keeps_every_figure(width: int) -> None:
    console, out = printed(width)
    console.print(hop_table([ROW], width))
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    for word in ("shuibei-pressure-001", "polled", "33", "1860", "total"):
        assert word in out.getvalue()
    assert "…" not in out.getvalue()


def test_a_part_is_told_when_its_state_changes_and_a_falling_back_is_no_start() -> None:
    console, out = printed(80)
    board = HealthBoard(console)
    for state in ("starting", "starting", "ok", "ok", "starting", "ok"):
        board.show([Health("shuibei-edge-1", state, "253 of 253 devices answer, uplink up")])
    words = [line.split()[1] for line in out.getvalue().splitlines()]
    assert words == ["starting", "ok", "degraded", "ok"]
    assert all(len(line) <= 80 for line in out.getvalue().splitlines())
