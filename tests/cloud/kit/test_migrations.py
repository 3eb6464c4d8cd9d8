import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cloud.errors import UnavailableError
from cloud.kit import migrations
from cloud.kit.sql import Database, metadata


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def test_every_table_file_is_found() -> None:
    migrations.load_tables()
    declared = set()
    for path in Path(migrations.__file__).parents[2].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_table = isinstance(node, ast.Call) and ast.unparse(node.func) == "sa.Table"
            if is_table and "versions" not in path.parts:
                assert isinstance(node, ast.Call)
                name = node.args[0]
                assert isinstance(name, ast.Constant)
                declared.add(name.value)
    assert declared == set(metadata.tables)
    assert len(declared) > 10


def test_an_empty_database_becomes_what_the_code_declares(database: Database) -> None:
    assert migrations.upgrade(database) == migrations.newest()
    with database.read() as connection:
        found = migrations.differences(connection)
    assert not found, f"run: linli cloud make-migration, for {found}"


def test_migrating_again_changes_nothing(database: Database) -> None:
    migrations.upgrade(database)
    with database.write() as connection:
        connection.exec_driver_sql("insert into journal_head values (1, 5, 7)")
    migrations.upgrade(database)
    with database.read() as connection:
        assert connection.exec_driver_sql("select seq from journal_head").scalar() == 7


def test_a_database_of_another_version_is_refused(database: Database) -> None:
    with pytest.raises(UnavailableError, match="none"):
        migrations.require_newest(database)
    migrations.upgrade(database)
    migrations.require_newest(database)
    with database.write() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(UnavailableError, match="9999"):
        migrations.require_newest(database)


def test_a_failing_migration_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_connection: object) -> str:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(migrations, "_revision", broken)
    with pytest.raises(RuntimeError):
        migrations.upgrade(database)
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
