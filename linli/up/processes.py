"""Starting, watching and stopping the parts of a demonstration as processes of their own."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

RESTART_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
STOP_S: Final = 8.0
_PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True)
class Part:
    """One process: how to start it, where its log goes, how often it was restarted."""

    name: str
    argv: Sequence[str]
    log: Path
    pipes: bool = False
    process: "subprocess.Popen[str] | None" = None
    restarts: int = 0
    next_start: float = 0.0
    output: "IO[str] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Give the process id while it runs."""
        return (
            self.process.pid if self.process is not None and self.process.poll() is None else None
        )


def linli(*arguments: str) -> list[str]:
    """Give the command line that runs `linli …` with this Python."""
    return [sys.executable, "-m", "linli", *arguments]


def _die_with_parent() -> None:
    """Ask Linux to end this process when the launcher is killed, so that no demonstration outlives it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Keeps a list of parts running; starts in order, restarts what ends, stops in reverse order."""

    def __init__(self, cwd: Path, say: Callable[[str], None]) -> None:
        self.cwd = cwd
        self.parts: list[Part] = []
        self._say = say

    def start(self, part: Part) -> Part:
        """Start one part and watch it from now on."""
        self.parts.append(part)
        self._spawn(part)
        return part

    def _spawn(self, part: Part) -> None:
        part.log.parent.mkdir(parents=True, exist_ok=True)
        if part.output is None:
            part.output = part.log.open("a", encoding="utf-8")
        pipe = subprocess.PIPE if part.pipes else None
        part.process = subprocess.Popen(
            list(part.argv),
            cwd=self.cwd,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or part.output,
            stderr=part.output,
            text=True,
            # Ctrl-C is for the launcher alone, which then stops the parts in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl call; no lock of ours is held
        )

    def watch(self) -> None:
        """Restart what has ended, later each time it ends again; call it about twice a second."""
        now = time.monotonic()
        for part in self.parts:
            if part.process is None or part.process.poll() is None:
                continue
            if part.next_start == 0.0:
                pause = RESTART_S[min(part.restarts, len(RESTART_S) - 1)]
                part.next_start = now + pause
                self._say(
                    f"{part.name} ended with code {part.process.returncode}; started again in {pause:g} s"
                )
            elif now >= part.next_start:
                part.restarts += 1
                part.next_start = 0.0
                self._spawn(part)

    def stop(self) -> list[str]:
        """Stop all parts, the last started first; gives the names of those that had to be killed."""
        stubborn = []
        for part in reversed(self.parts):
            if part.process is None:
                continue
            if part.process.poll() is None:
                part.process.terminate()
                try:
                    part.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    part.process.kill()
                    part.process.wait()
                    stubborn.append(part.name)
            for stream in (part.process.stdin, part.process.stdout, part.output):
                if stream is not None:
                    stream.close()
            part.process = None
        self.parts.clear()
        return stubborn
