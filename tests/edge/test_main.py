"""The commands of the edge, and a real process that is stopped and killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.__main__ import app, decode_capture
from edge.driver import CaptureRow, DriverKind, DriverSettings
from edge.status import read_status, write_status
from tests.edge.cloud_stand_in import EDGE, CloudStandIn, cloud_at, until
from tests.mosquitto import Mosquitto, free_port

ROOT = Path(__file__).parents[2]
CONFIG = """
edge: {{id: edge-1}}
uplink: {{host: 127.0.0.1, port: {broker}, username: edge-1, password_file: word}}
spool: {{path: spool/spool.db, limit_mb: 16}}
models: devices
drivers:
  - id: listener-1
    kind: gb26875
    listen: {{host: 127.0.0.1, port: {port}}}
    units: [{{id: uitd-1, address: 1001}}]
"""


def _spy(content: bytes) -> Iterator[CaptureRow]:
    yield CaptureRow(ok=True, consumed=len(content), fields={"hex": content.hex()})


SPY = DriverKind("spy", DriverSettings, lambda *_: None, _spy)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"40 40 01\n\n# note\n4040:02\n", ["404001", "404002"]),
        (b"\x40\x40\x00\xff", ["404000ff"]),
        (b"@@\x01##", ["4040012323"]),
        (b"40 4\n", [None]),
        (b"hello\n4040\n", [None, "4040"]),
        (b"0x40 0x01,0x00\n\\x40\\x02\n40-40:aB\n", ["400100", "4002", "4040ab"]),
        ("# 烟感\n4040\r\n".encode(), ["4040"]),
        ("4040\n".encode("utf-16"), ["4040"]),
        (b"\xef\xbb\xbf4040", ["4040"]),
        (b" \n\t\n", []),
        (b"", []),
    ],
)
def test_hex_lines_and_raw_captures_are_told_apart(
    content: bytes, expected: list[str | None]
) -> None:
    assert [row.fields.get("hex") for row in decode_capture(SPY, content)] == expected


def test_decode_prints_one_json_object_a_frame() -> None:
    done = CliRunner().invoke(app, ["decode", "gb26875", "-"], input="40 40 23 23\nzz\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert all({"ok", "consumed"} <= set(row) for row in rows)
    assert [row["ok"] for row in rows] == [False] * len(rows)
    assert "not hexadecimal" in rows[-1]["error"]


def test_an_unknown_kind_gets_the_close_name() -> None:
    done = CliRunner().invoke(app, ["decode", "modbsu"], input="")
    assert done.exit_code == 2
    assert "did you mean 'modbus'?" in done.stderr


@pytest.mark.parametrize("text", ["", "\n# only a note\n"])
def test_nothing_to_decode_is_said_and_not_taken_for_success(text: str) -> None:
    done = CliRunner().invoke(app, ["decode", "gb26875"], input=text)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nothing to decode" in done.stderr


def test_a_line_that_is_not_hex_names_what_is_wrong() -> None:
    done = CliRunner().invoke(app, ["decode", "gb26875"], input="4040 zz\n404\n")
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert errors == ["not hexadecimal: 'z'", "not hexadecimal: 3 digits are half a byte too many"]


def test_bytes_that_look_like_hex_are_taken_as_they_are_when_told_so() -> None:
    frame = "1103007C00020743"
    pretty = CliRunner().invoke(app, ["decode", "modbus", "--pretty"], input=frame)
    assert (pretty.exit_code, json.loads(pretty.stdout)["unit"]) == (0, 17)
    assert len(pretty.stdout.splitlines()) > 5
    raw = CliRunner().invoke(app, ["decode", "modbus", "--raw"], input=frame)
    assert raw.exit_code == 1
    assert json.loads(raw.stdout)["consumed"] == len(frame)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[tuple[Path, Mosquitto]]:
    broker = Mosquitto(tmp_path / "broker", [EDGE])
    broker.start()
    (tmp_path / "devices").mkdir()
    (tmp_path / "word").write_text(EDGE)
    path = tmp_path / "edge.yaml"
    path.write_text(CONFIG.format(broker=broker.port, port=free_port()))
    yield path, broker
    broker.kill()


def test_check_config_says_ok_or_every_mistake(config: tuple[Path, Mosquitto]) -> None:
    path, _ = config
    done = CliRunner().invoke(app, ["check-config", "--config", str(path)])
    assert (done.exit_code, done.stdout.startswith("OK: edge-1, 1 drivers, 1 devices")) == (0, True)
    path.write_text(path.read_text().replace("limit_mb: 16", "limit_mb: 1").replace("1001", "-1"))
    done = CliRunner().invoke(app, ["check-config", "--config", str(path)])
    assert done.exit_code == 1
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == ["4", "10"]


def test_the_status_of_a_node_that_does_not_run_is_shown_and_is_a_failure(
    config: tuple[Path, Mosquitto],
) -> None:
    path, _ = config
    (path.parent / "spool").mkdir()
    for at, code in ((0, 1), (time.time_ns() // 1_000_000, 0)):
        write_status(path.parent / "spool", {"at": at})
        done = CliRunner().invoke(app, ["status", "--config", str(path)])
        assert (done.exit_code, json.loads(done.stdout)) == (code, {"at": at})
        assert ("does not run" in done.stderr) == bool(code)


def start(path: Path) -> "subprocess.Popen[bytes]":
    with (path.parent / "edge.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "edge", "run", "--config", str(path)],
            cwd=ROOT,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )


async def test_a_node_runs_tells_its_status_survives_kill_9_and_stops_cleanly(
    config: tuple[Path, Mosquitto],
) -> None:
    path, broker = config
    folder = path.parent / "spool"

    def status(wanted: Callable[[dict[str, Any]], bool]) -> bool:
        found = read_status(folder)
        return found is not None and wanted(found)

    async with cloud_at(broker, CloudStandIn()) as cloud:
        first = await asyncio.to_thread(start, path)
        await until(lambda: len(cloud.births) == 1 and any(s.online for s in cloud.states))
        await until(lambda: status(lambda found: found["link"]["is_up"]))
        first.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.wait)
        await until(lambda: not cloud.states[-1].online)
        second = await asyncio.to_thread(start, path)
        try:
            await until(lambda: len(cloud.births) == 2 and cloud.states[-1].online)
            assert cloud.births[0].epoch == cloud.births[1].epoch
            assert cloud.births[1].boot > cloud.births[0].boot
            third = await asyncio.to_thread(start, path)
            assert await asyncio.to_thread(third.wait, 30) == 1, "two nodes on one spool"
        finally:
            second.terminate()
            code = await asyncio.to_thread(second.wait, 30)
        assert code == 0, (path.parent / "edge.log").read_text()
        await until(lambda: not cloud.states[-1].online)
    log = (path.parent / "edge.log").read_text()
    assert "in use by another process" in log
    events = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert events.count("edge node starts") == 2
    assert events[-1] == "edge node stopped"
    assert "task crashed" not in events
