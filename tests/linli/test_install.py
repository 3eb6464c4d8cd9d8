"""A minute of installing is not a minute of silence."""

import subprocess
import sys
from pathlib import Path

from linli.install import pinned, progress

ROOT = Path(__file__).parents[2]
PIP = [
    "Ignoring colorama: markers don't match\n",
    *(f"Collecting name-{n}==1\n  Downloading\n" for n in range(40)),
]


def test_every_library_is_told_on_a_terminal_and_every_twentieth_in_a_log() -> None:
    lines = [*PIP, "Installing collected packages: name\n"]
    shown = [*progress(lines, 41, is_terminal=True)]
    assert len(shown) == 41
    assert shown[1].endswith("2 of 40 libraries fetched: name-1")
    logged = [*progress(lines, 41, is_terminal=False)]
    assert [line.split()[1] for line in logged] == ["20", "40", "40"]
    assert not any("\r" in line for line in logged)


def test_the_libraries_of_a_lock_file_are_counted() -> None:
    assert pinned(ROOT / "requirements-edge.lock") > 10


def test_a_failure_shows_what_pip_said_and_is_a_failure(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("pip==0.0.0.dev0 --hash=sha256:" + "0" * 64 + "\n")
    command = [sys.executable, "-m", "linli.install", str(lock)]
    # No index: nothing is asked of the network.
    done = subprocess.run(
        command, cwd=ROOT, env={"PIP_NO_INDEX": "1", "PATH": ""}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 1
    assert "[setup] pip failed with code 1" in done.stdout
    assert "No matching distribution" in done.stdout
