"""The door to Alembic: brings a database up to what the code declares; forward only."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cloud.errors import UnavailableError
from cloud.kit.sql import Connection, Database, metadata

_FOLDER: Final = Path(__file__).parent
_TABLE_MODULES: Final = ("store", "journal")


def load_tables() -> None:
    """Import every file that declares tables (`store.py`, `*_store.py`, the journal), so that `metadata` is whole."""
    package = importlib.import_module("cloud")
    for slice_ in pkgutil.iter_modules(package.__path__, "cloud."):
        if not slice_.ispkg or slice_.name == "cloud.kit":
            continue
        path = importlib.import_module(slice_.name).__path__
        for module in pkgutil.iter_modules(path, f"{slice_.name}."):
            name = module.name.rpartition(".")[2]
            if name in _TABLE_MODULES or name.endswith("_store"):
                importlib.import_module(module.name)


def upgrade(database: Database) -> str:
    """Bring the database to the newest revision in one transaction and give its name."""
    load_tables()
    with database.write() as connection:
        command.upgrade(_config(connection), "head")
        return _revision(connection) or ""


def newest() -> str:
    """Give the revision that the code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def require_newest(database: Database) -> None:
    """Refuse to go on with a database that is not at the revision the code needs.

    Raises:
        UnavailableError: it is older, newer, or empty.
    """
    with database.read() as connection:
        found = _revision(connection)
    wanted = newest()
    if found != wanted:
        raise UnavailableError(
            f"the database is at revision {found or 'none'}, this version needs {wanted}",
            "run: linli cloud migrate --config FILE",
        )


def differences(connection: Connection) -> list[Any]:
    """Tell how the database differs from what the code declares; empty when it does not."""
    load_tables()
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def make(database: Database, message: str) -> Path:
    """Write a revision that brings this database, which is at the newest one, to what the code declares."""
    load_tables()
    with database.write() as connection:
        made = command.revision(
            _config(connection), message, autogenerate=True, rev_id=f"{_count() + 1:04d}"
        )
    if made is None or isinstance(made, list):
        raise UnavailableError("no revision was written", "see the lines above")
    path = Path(made.path)
    path.write_text(_portable(path.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def _portable(text: str) -> str:
    """Write booleans' defaults so that every database takes them; Alembic writes SQLite's 0 and 1."""
    for number, word in (("0", "false"), ("1", "true")):
        pattern = rf"(sa\.Boolean\([^()]*\), server_default=)sa\.text\(['\"]{number}['\"]\)"
        text = re.sub(pattern, rf"\1sa.{word}()", text)
    return text


def _count() -> int:
    return sum(1 for _ in ScriptDirectory.from_config(_config()).walk_revisions())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def relaxed_foreign_keys(connection: Connection) -> Iterator[None]:
    """Let SQLite judge references only at the end: moving a table in batch mode drops it for a moment."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("pragma defer_foreign_keys=on")
    yield
