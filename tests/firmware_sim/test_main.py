"""The command as a process: its control channel, and how it ends."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from firmware_sim.__main__ import app

PLAN = """
site: shuibei
lines:
- {id: line-1, transport: {type: pty, path: lines/line-1}, units: [{id: gas-1, unit: 1, model: gas-lel-simple}]}
uitds: []
"""


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    """Undo what the command sets up: its stream is closed when the test ends."""
    yield
    structlog.reset_defaults()


class Process:
    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self.running = running
        assert running.stdin is not None
        assert running.stdout is not None
        self.stdin, self._stdout = running.stdin, running.stdout

    def say(self, **order: object) -> None:
        self.stdin.write(json.dumps(order).encode() + b"\n")

    async def hear(self) -> Any:
        async with asyncio.timeout(30):
            return json.loads(await self._stdout.readline())

    async def end(self) -> int:
        async with asyncio.timeout(30):
            return await self.running.wait()


@asynccontextmanager
async def simulation(folder: Path, *options: str) -> AsyncIterator[Process]:
    (folder / "sim.yaml").write_text(PLAN, encoding="utf-8")
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", "run", str(folder), "--control", *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Process(running)
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
        running._transport.close()  # type: ignore[attr-defined]


async def test_the_control_channel_speaks_json_lines(tmp_path: Path) -> None:
    async with simulation(tmp_path, "--speed", "20") as sim:
        assert await sim.hear() == {"event": "ready", "devices": 1}
        assert (tmp_path / "lines" / "line-1").is_symlink()
        sim.say(do="gas_leak", device="gas-1")
        told = await sim.hear()
        assert (told["event"], told["device"], told["what"]) == ("sent", "gas-1", "gas_leak")
        assert told["at"] > 1_700_000_000_000
        sim.say(do="silence", device="gas-1")
        assert (await sim.hear())["what"] == "silence"
        sim.say(do="stop")
        assert await sim.end() == 0
        assert not (tmp_path / "lines" / "line-1").is_symlink()


async def test_nonsense_on_the_control_channel_is_answered_and_survived(tmp_path: Path) -> None:
    async with simulation(tmp_path) as sim:
        await sim.hear()
        for line, part in [
            (b"{", "not understood"),
            (b"[]", "not understood"),
            (b"\xff\xfe", "not understood"),
            (b'{"do":"sing"}', "'sing' is not known; there are stop, scenario, fire"),
            (b'{"do":"fire"}', "device: Field required"),
            (b'{"do":"fire","device":"gas-1"}', "cannot do fire"),
            (b'{"do":"scenario","name":"../x"}', "no scenario '../x'"),
            (b'{"do":"scenario","name":"four-emergencies"}', "no smoke device"),
            (b"x" * 70_000, "dropped"),
        ]:
            sim.stdin.write(line + b"\n")
            told = await sim.hear()
            assert told["event"] == "error"
            assert part in told["message"]
            if part == "dropped":
                break
        assert sim.running.returncode is None


@pytest.mark.parametrize("how", ["eof", "SIGTERM", "SIGINT"])
async def test_it_ends_cleanly(tmp_path: Path, how: str) -> None:
    async with simulation(tmp_path) as sim:
        await sim.hear()
        if how == "eof":
            sim.stdin.close()
        else:
            sim.running.send_signal(signal.Signals[how])
        assert await sim.end() == 0
        assert not (tmp_path / "lines" / "line-1").is_symlink()


def test_a_broken_plan_is_told_with_all_its_mistakes(tmp_path: Path) -> None:
    (tmp_path / "sim.yaml").write_text("site: 1\nlines: {}\nextra: 2\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(tmp_path)])
    assert result.exit_code != 0
    told = str(result.exception)
    assert all(f"sim.yaml:{line}" in told for line in (1, 2, 3))


def test_an_unknown_scenario_ends_with_the_names_there_are(tmp_path: Path) -> None:
    (tmp_path / "sim.yaml").write_text(PLAN, encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(tmp_path), "--scenario", "nope"])
    assert "four-emergencies" in str(result.exception)


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f"site: s\nlines:\n- {{id: l, transport: {{type: tcp, port: {port}}}, units: []}}\n"
        (tmp_path / "sim.yaml").write_text(text, encoding="utf-8")
        result = CliRunner().invoke(app, ["run", str(tmp_path)])
    assert f"{port}" in str(result.exception)


def test_a_fleet_is_written_and_the_scenarios_are_listed(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fleet", "--out", str(tmp_path), "--scale", "small"])
    assert "14 devices (6 smoke, 3 gas, 3 pressure, 2 level) on 1 edge nodes" in result.output
    listed = CliRunner().invoke(app, ["scenarios"]).output
    assert listed.count("\n") >= 3
    assert "four-emergencies" in listed
