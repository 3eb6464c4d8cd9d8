"""Installs a lock file with pip and shows how far it is: `python -m linli.install LOCK`.

Nothing but the standard library is used, since this is what installs the rest.
"""

import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

STEP: Final = 20
_PIP: Final = ("-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")


def pinned(lock: Path) -> int:
    """Count the libraries that a lock file names."""
    return len(re.findall(r"^[\w.\-\[\]]+==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def progress(lines: Iterable[str], total: int, *, is_terminal: bool) -> Iterator[str]:
    """Turn what pip prints into what a person wants to know.

    Args:
        lines: pip's lines as they come.
        total: libraries in the lock file.
        is_terminal: rewrite one line instead of writing one every 20 libraries.
    """
    fetched = 0
    for line in lines:
        if line.startswith("Ignoring "):
            total -= 1
        elif line.startswith("Collecting "):
            fetched += 1
            name = line.split()[1].partition("==")[0]
            if is_terminal:
                yield f"\r\033[K[setup] {fetched} of {total} libraries fetched: {name}"
            elif fetched % STEP == 0:
                yield f"[setup] {fetched} of {total} libraries fetched\n"
        elif line.startswith("Installing collected packages"):
            start = "\r\033[K" if is_terminal else ""
            yield f"{start}[setup] {fetched} libraries fetched and checked; installing them\n"


def install(lock: Path) -> int:
    """Install what the lock file pins, hashes checked; gives pip's exit code."""
    command = [sys.executable, *_PIP, "--require-hashes", "-r", str(lock)]
    last: deque[str] = deque(maxlen=15)

    def kept(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            last.append(line)
            yield line

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        if pip.stdout is not None:
            for text in progress(kept(pip.stdout), pinned(lock), is_terminal=sys.stdout.isatty()):
                sys.stdout.write(text)
                sys.stdout.flush()
    if pip.returncode != 0:
        sys.stdout.write(f"\n[setup] pip failed with code {pip.returncode}:\n{''.join(last)}")
    return pip.returncode


if __name__ == "__main__":
    try:
        sys.exit(install(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit("\n[setup] interrupted; call make again to go on")
