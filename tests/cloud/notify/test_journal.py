"""Laws of the journal on each database: numbers without gaps whoever writes, one moment for each reader."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cloud.kit.sql import Database
from cloud.notify import journal

WRITERS, ENTRIES = 4, 25


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    made.create_all()
    with made.write() as connection:
        journal.start(connection, 7)
    yield made
    made.close()


def add(database: Database, subject: str) -> int:
    with database.write() as connection:
        return journal.append(connection, at=1, kind="alert", subject=subject, body={})


def everything(database: Database) -> list[journal.Entry]:
    with database.read() as connection:
        return journal.after(connection, 0)


def test_many_writers_leave_no_gap_though_some_roll_back(database: Database) -> None:
    def write(name: int) -> None:
        own = Database(database.url.render_as_string(hide_password=False))
        for n in range(ENTRIES):
            with suppress(ZeroDivisionError), own.write() as connection:
                journal.append(connection, at=1, kind="alert", subject="lost", body={})
                raise ZeroDivisionError
            add(own, f"{name}-{n}")
        own.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    entries = everything(database)
    assert [entry.seq for entry in entries] == list(range(1, WRITERS * ENTRIES + 1))
    assert {entry.subject for entry in entries} == {
        f"{name}-{n}" for name in range(WRITERS) for n in range(ENTRIES)
    }
    assert all(entry.body["seq"] == entry.seq for entry in entries)


def test_a_reader_sees_one_moment_however_long_it_looks(database: Database) -> None:
    add(database, "a")
    with database.read() as connection:
        assert journal.head(connection).seq == 1
        add(database, "b")
        assert journal.head(connection).seq == 1
        assert [entry.subject for entry in journal.after(connection, 0)] == ["a"]
    assert [entry.subject for entry in everything(database)] == ["a", "b"]


def test_what_was_read_before_writing_cannot_change_meanwhile(database: Database) -> None:
    """Else a worker would write over an acknowledgement given between its read and its write."""
    order: list[str] = []
    has_read = threading.Event()

    def other() -> None:
        has_read.wait(20)
        add(database, "person")
        order.append("person")

    person = threading.Thread(target=other)
    person.start()
    with database.write() as connection:
        head = journal.head(connection).seq
        has_read.set()
        person.join(0.05)
        assert journal.append(connection, at=1, kind="alert", subject="worker", body={}) == head + 1
        order.append("worker")
    person.join(20)
    assert order == ["worker", "person"]


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"), database.read() as connection:
        journal.append(connection, at=1, kind="alert", subject="x", body={})
    assert everything(database) == []


def test_the_epoch_is_kept_whoever_starts_again(database: Database) -> None:
    with database.write() as connection:
        assert journal.start(connection, 8) == journal.Head(7, 0)
