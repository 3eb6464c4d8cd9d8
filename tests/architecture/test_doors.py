"""Each outside library is imported behind its own door, and pure files reach nothing outside."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DOORS: dict[str, tuple[str, ...]] = {
    "sqlalchemy": (
        "cloud/kit/",
        "cloud/*/store.py",
        "cloud/*/*_store.py",
        "cloud/notify/journal.py",
    ),
    "alembic": ("cloud/kit/",),
    "duckdb": ("cloud/kit/duck.py",),
    "influxdb_client": ("cloud/kit/influx.py",),
    "paho": ("cloud/kit/mqtt.py", "cloud/kit/mqtt_stream.py"),
    "argon2": ("cloud/kit/password.py",),
    "apscheduler": ("cloud/kit/schedule.py",),
    "amqtt": ("cloud/kit/broker.py",),
    "uvicorn": ("cloud/__main__.py", "cloud/kit/"),
    "aiomqtt": ("edge/uplink.py", "edge/broker_link.py"),
    "serial": ("edge/transport.py", "firmware_sim/"),
    "pymodbus": ("edge/transport.py", "edge/drivers/modbus/", "firmware_sim/modbus/"),
    "yaml": ("contract/config_text.py", "firmware_sim/", "linli/"),
    "typer": ("linli/", "edge/__main__.py", "cloud/__main__.py", "firmware_sim/__main__.py"),
    "rich": ("linli/", "edge/__main__.py", "cloud/__main__.py", "firmware_sim/__main__.py"),
}
PORTS = {"edge/driver.py"}
PURE_NAMES = {"model.py", "engine.py", "codec.py", "decide.py"}
IMPURE = {
    "asyncio", "socket", "time", "random", "secrets", "logging", "structlog", "sqlite3", "sqlalchemy", "duckdb",
    "fastapi", "uvicorn", "paho", "aiomqtt", "os", "subprocess", "threading", "pathlib", "requests", "httpx",
}  # fmt: skip


@cache
def sources() -> tuple[Path, ...]:
    folders = ("contract", "edge", "cloud", "firmware_sim", "linli")
    return tuple(sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def names(path: Path) -> frozenset[str]:
    """Give every name that a file imports, `a.b` and `a.b.c` for `from a.b import c`."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in names(path)}


@cache
def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources()}


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_library_is_imported_only_at_its_door(library: str) -> None:
    intruders = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        allowed = any(
            name.startswith(door) if door.endswith("/") else Path(name).match(door)
            for door in DOORS[library]
        )
        if not allowed and library in libraries(path):
            intruders.append(name)
    assert not intruders, f"{library} belongs to {DOORS[library]}, not {intruders}"


def pure_files() -> list[Path]:
    """List the files that are pure by their name, or say in their head that they are."""
    return [
        path
        for path in sources()
        if path.relative_to(ROOT).parts[0] == "contract"
        or (path.name in PURE_NAMES and path.relative_to(ROOT).parts[0] in {"edge", "cloud"})
        or path.parent.name == "rules"
        or "Pure." in (ast.get_docstring(tree(path)) or "").split("\n\n")[0].split()
    ]


def reached(path: Path) -> set[Path]:
    """Give a file with everything of ours that it imports, near or far; ports hold types only and are not entered."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        found.add(here)
        near = (modules()[name] for name in names(here) & modules().keys())
        waiting += [other for other in near if other.relative_to(ROOT).as_posix() not in PORTS]
    return found


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_code_reaches_no_clock_store_or_network(path: Path) -> None:
    touched = {
        f"{other.relative_to(ROOT)}: {library}"
        for other in reached(path)
        for library in libraries(other) & IMPURE
    }
    assert not touched


def test_only_settings_read_the_environment() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if path.name != "settings.py" and "os.environ" in path.read_text(encoding="utf-8")
    ]
    # The launcher hands the environment on to the processes it starts.
    assert set(readers) <= {"linli/up/processes.py"}


def test_time_is_read_only_by_clocks() -> None:
    readers = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if path.name == "clock.py":
            continue
        text = path.read_text(encoding="utf-8")
        if "time.time" in text or "datetime.now(" in text or "utcnow(" in text:
            readers.append(name)
    assert not readers
