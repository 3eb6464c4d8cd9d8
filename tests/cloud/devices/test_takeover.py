"""A box that was exchanged for one of another name: its devices move by themselves, and it is written down."""

from collections.abc import Iterator

import pytest

from cloud.devices import registry, store
from cloud.devices.model import BirthOutcome
from cloud.devices.registry import TAKEOVER_MS
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.people.audit_store import audit
from tests.cloud.devices.test_service import NOW, birth

OLD, NEW = "edge-old", "edge-new"


class Registry:
    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.database.create_all()
        with self.database.write() as connection:
            journal.start(connection, NOW)

    def online(self, edge: str, at: int, *, is_online: bool) -> None:
        with self.database.write() as connection:
            registry.apply_online(connection, edge, is_online=is_online, at=at)

    def born(self, edge: str, *devices: str, at: int) -> BirthOutcome:
        with self.database.write() as connection:
            return registry.apply_birth(connection, edge, birth(*devices), at)

    def owner(self, device: str) -> str:
        with self.database.read() as connection:
            return store.owners(connection, [device])[device]

    def claimants(self, at: int) -> list[str]:
        with self.database.read() as connection:
            return store.claimants(connection, at - TAKEOVER_MS)


@pytest.fixture
def town(database_url: str) -> Iterator[Registry]:
    made = Registry(database_url)
    made.online(OLD, NOW, is_online=True)
    made.born(OLD, "gas-1", "gas-2", at=NOW)
    yield made
    made.database.close()


def test_an_edge_that_is_there_keeps_its_devices(town: Registry) -> None:
    town.online(NEW, NOW, is_online=True)
    outcome = town.born(NEW, "gas-1", "gas-3", at=NOW + 2 * TAKEOVER_MS)
    assert (outcome.foreign, outcome.taken) == (("gas-1",), ())
    assert town.owner("gas-1") == OLD
    assert town.claimants(NOW + 2 * TAKEOVER_MS) == []


def test_an_edge_just_gone_keeps_them_for_some_minutes(town: Registry) -> None:
    gone = NOW + 1_000
    town.online(OLD, gone, is_online=False)
    town.online(NEW, gone, is_online=True)
    assert town.born(NEW, "gas-1", at=gone + TAKEOVER_MS - 1).foreign == ("gas-1",)
    assert town.claimants(gone + TAKEOVER_MS - 1) == []
    assert town.claimants(gone + TAKEOVER_MS) == [NEW]
    assert town.born(NEW, "gas-1", at=gone + TAKEOVER_MS).taken == ("gas-1",)
    assert (town.owner("gas-1"), town.owner("gas-2")) == (NEW, OLD)
    assert town.claimants(gone + TAKEOVER_MS) == []


def test_the_move_is_written_down_and_told_to_screens(town: Registry) -> None:
    town.online(OLD, NOW, is_online=False)
    town.born(NEW, "gas-1", at=NOW + TAKEOVER_MS)
    with town.database.read() as connection:
        (act,) = audit(connection, None, 10)
        entries = journal.after(connection, 0)
    assert (act.actor, act.action, act.subject) == ("system", "devices_taken_over", NEW)
    assert act.detail == {"from": OLD, "count": 1, "devices": ["gas-1"]}
    told = [entry.body for entry in entries if entry.kind == "device"]
    assert [(body["id"], body["edge"]) for body in told] == [("gas-1", NEW)]


def test_the_old_box_does_not_take_them_back(town: Registry) -> None:
    town.online(OLD, NOW, is_online=False)
    town.online(NEW, NOW, is_online=True)
    town.born(NEW, "gas-1", at=NOW + TAKEOVER_MS)
    town.online(OLD, NOW + TAKEOVER_MS + 1, is_online=True)
    outcome = town.born(OLD, "gas-1", "gas-2", at=NOW + 3 * TAKEOVER_MS)
    assert outcome.foreign == ("gas-1",)
    assert town.owner("gas-1") == NEW
