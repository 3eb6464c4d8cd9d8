"""Marks in the database: bounded whatever epochs an edge invents, and the present epoch is never forgotten."""

from cloud.ingest import store
from cloud.ingest.lanes import EPOCHS_KEPT, LaneBook, LaneKey
from cloud.kit.sql import Database, metadata
from contract.messages import Lane


def kept(database: Database) -> dict[int, int]:
    with database.read() as connection:
        return {key.epoch: state.high for key, state in store.lanes(connection)}


def save(database: Database, book: LaneBook, epoch: int, *seqs: int) -> None:
    key = LaneKey("edge-1", epoch, Lane.ALARM)
    for seq in seqs:
        book.lane(key).take(seq)
    with database.write() as connection:
        store.save_lanes(connection, [(key, book.lane(key))])


def opened(database_url: str) -> Database:
    database = Database(database_url)
    with database.write() as connection:
        metadata.create_all(connection)
    return database


def test_invented_epochs_do_not_fill_the_table_though_they_begin_late(database_url: str) -> None:
    database, book = opened(database_url), LaneBook()
    for epoch in range(100):
        save(database, book, epoch, 5_000)
    assert len(kept(database)) == EPOCHS_KEPT
    assert len(book) == EPOCHS_KEPT
    database.close()


def test_an_epoch_of_a_box_without_a_clock_is_kept_beside_newer_ones(database_url: str) -> None:
    database, book = opened(database_url), LaneBook()
    for epoch in range(1_000, 1_000 + 2 * EPOCHS_KEPT):
        save(database, book, epoch, 1)
    save(database, book, 7, 1)
    assert kept(database)[7] == 1
    assert len(kept(database)) == EPOCHS_KEPT
    again = LaneBook()
    with database.read() as connection:
        for key, state in store.lanes(connection):
            again.restore(key, state.high, state.window)
    assert again.lane(LaneKey("edge-1", 7, Lane.ALARM)).has(1)
    database.close()
