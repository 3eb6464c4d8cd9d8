"""Parts run, come back when they end, and are gone after a stop."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from linli.up.processes import Part, Supervisor


def wait(claim: Callable[[], bool], supervisor: Supervisor) -> None:
    end = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < end
        supervisor.watch()
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_part_is_started_again_and_counted(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(tmp_path, said.append)
    part = supervisor.start(
        Part("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    )
    first = part.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait(lambda: part.restarts == 1 and part.pid not in {None, first}, supervisor)
    second = part.pid
    assert supervisor.stop() == []
    assert second is not None
    assert not alive(second)
    assert any("sleeper ended with code -9" in line for line in said)


def test_parts_stop_in_reverse_order(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('{0}', flush=True), sys.exit(0)))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    supervisor = Supervisor(tmp_path, lambda _line: None)
    log = tmp_path / "log"
    for name in ("first", "second"):
        supervisor.start(Part(name, [sys.executable, "-c", program.replace("{0}", name)], log))
    wait(lambda: log.read_text().count("up") == 2, supervisor)
    assert supervisor.stop() == []
    assert log.read_text().split()[-2:] == ["second", "first"]
