"""Each outside library is imported behind its own door, and pure files reach nothing outside."""

import ast
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
PURE_NAMES = {"model.py", "engine.py", "codec.py", "decide.py"}
IMPURE = {
    "asyncio", "socket", "time", "random", "secrets", "logging", "structlog", "sqlite3", "sqlalchemy", "duckdb",
    "fastapi", "uvicorn", "paho", "aiomqtt", "os", "subprocess", "threading", "pathlib", "requests", "httpx",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def sources() -> list[Path]:
    folders = ("contract", "edge", "cloud", "firmware_sim", "linli")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_library_is_imported_only_at_its_door(library: str) -> None:
    intruders = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        allowed = any(
            name.startswith(door) if door.endswith("/") else Path(name).match(door)
            for door in DOORS[library]
        )
        if not allowed and library in imports(path):
            intruders.append(name)
    assert not intruders, f"{library} belongs to {DOORS[library]}, not {intruders}"


def pure_files() -> list[Path]:
    return [
        path
        for path in sources()
        if path.relative_to(ROOT).parts[0] == "contract"
        or (path.name in PURE_NAMES and path.relative_to(ROOT).parts[0] in {"edge", "cloud"})
        or path.parent.name == "rules"
    ]


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_code_reaches_no_clock_store_or_network(path: Path) -> None:
    assert not imports(path) & IMPURE


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
