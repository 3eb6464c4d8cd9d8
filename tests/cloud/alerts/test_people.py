"""What people do: acknowledge, verify, close, comment; who was first; what lapses; what is never rewritten."""

import threading

import pytest
import sqlalchemy as sa

from cloud.alerts import store
from cloud.alerts.model import Verdict
from cloud.errors import ConflictError, InvalidError, NotFoundError
from tests.cloud.alerts.world import World


@pytest.fixture
def world(any_world: World) -> World:
    return any_world


@pytest.fixture
def alert_id(world: World) -> str:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1")
    return world.only().id


def test_of_two_who_acknowledge_one_is_told_who_has_it(world: World, alert_id: str) -> None:
    refused: list[str] = []
    together = threading.Barrier(2)

    def take(name: str) -> None:
        together.wait(10)
        try:
            world.service.acknowledge(alert_id, name)
        except ConflictError as error:
            refused.append(str(error))

    people = [threading.Thread(target=take, args=(name,)) for name in ("Li", "Wang")]
    for person in people:
        person.start()
    for person in people:
        person.join(20)
    assert len(refused) == 1
    assert world.only().acknowledged_by in refused[0].split()


def test_an_acknowledgement_without_verdict_lapses_at_its_deadline(
    world: World, alert_id: str
) -> None:
    taken = world.service.acknowledge(alert_id, "Li")
    assert taken.ack_deadline == world.clock.wall + 300_000
    world.wait(299)
    assert world.only().handling == "acknowledged"
    world.restart()
    world.wait(2)
    alert = world.only()
    assert (alert.handling, alert.acknowledged_by) == ("new", None)
    assert world.journal()[-1].body["handling"] == "new"
    lines = world.service.history(alert_id).lines
    assert (lines[-1].what, lines[-1].who) == ("lapsed", "system")


def test_a_verdict_stops_the_deadline(world: World, alert_id: str) -> None:
    world.service.acknowledge(alert_id, "Li")
    world.service.verify(alert_id, "Li", Verdict.FALSE_COOKING, "吴记厨房油烟")
    world.wait(400)
    alert = world.only()
    assert (alert.handling, alert.note) == ("verified", "吴记厨房油烟")


def test_a_fire_that_comes_back_after_its_verdict_is_new_again(world: World, alert_id: str) -> None:
    world.service.verify(alert_id, "Li", Verdict.FALSE_COOKING)
    world.alarm("smoke-1", on=False)
    world.wait(70)
    world.alarm("smoke-1")
    alert = world.only()
    assert (alert.id, alert.handling, alert.verdict, alert.count) == (alert_id, "new", None, 2)


def test_maintenance_alerts_close_without_a_verdict(world: World) -> None:
    world.town.add("smoke-1", "smoke")
    world.alarm("smoke-1", "fault")
    alert = world.only()
    assert world.service.close(alert.id, "Li").handling == "closed"
    with pytest.raises(ConflictError, match="closed by Li"):
        world.service.close(alert.id, "Wang")


def test_property_alerts_need_one(world: World) -> None:
    world.town.add("pressure-1", "pressure")
    series = world.measure("pressure-1", "pressure_kpa")
    world.read(series, 10.0)
    with pytest.raises(InvalidError, match="verdict"):
        world.service.close(world.only().id, "Li")


def test_an_unknown_alert_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.service.get("01890000-0000-7000-8000-000000000000")


def test_every_change_has_a_line_and_a_journal_number(world: World, alert_id: str) -> None:
    world.service.acknowledge(alert_id, "Li", "on my way")
    world.service.comment(alert_id, "Wang", "called the kitchen")
    world.service.verify(alert_id, "Li", Verdict.FALSE_COOKING)
    closed = world.service.close(alert_id, "Li")
    history = world.service.history(alert_id)
    assert [(line.who, line.what) for line in history.lines] == [
        ("system", "raised"), ("Li", "acknowledged"), ("Wang", "commented"),
        ("Li", "verified"), ("Li", "closed"),
    ]  # fmt: skip
    assert history.is_whole
    entries = world.journal()
    assert [entry.body["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert closed.model_dump(mode="json") == entries[-1].body


@pytest.mark.parametrize("forgery", ["change", "remove the last", "remove one"])
def test_a_forged_history_is_seen(world: World, alert_id: str, forgery: str) -> None:
    world.service.acknowledge(alert_id, "Li")
    world.service.verify(alert_id, "Li", Verdict.FALSE_COOKING)
    table = store.history_table
    here = table.c.alert == alert_id
    statement = {
        "change": sa.update(table).where(here, table.c.number == 2).values(who="Wang"),
        "remove the last": sa.delete(table).where(here, table.c.number == 3),
        "remove one": sa.delete(table).where(here, table.c.number == 2),
    }[forgery]
    with world.database.write() as connection:
        connection.execute(statement)
    history = world.service.history(alert_id)
    assert (history.is_whole, history.broken_at) == (
        False,
        3 if forgery == "remove the last" else 2,
    )


def test_the_last_verdicts_of_a_device_stand_beside_its_alert(world: World, alert_id: str) -> None:
    for verdict in (Verdict.FALSE_COOKING, Verdict.FALSE_SMOKING):
        world.clock.pass_s(1)
        world.service.close(world.only().id, "Li", verdict)
        world.clock.pass_s(1)
        world.alarm("smoke-1")
    detail = world.service.get(world.only().id)
    assert [past.verdict for past in detail.recent_verdicts] == ["false_smoking", "false_cooking"]
    assert detail.history[0].what == "raised"


def test_pages_follow_each_other_without_gap_or_repeat(world: World) -> None:
    for n in range(7):
        world.clock.pass_s(1)
        world.alarm(world.town.add(f"smoke-{n}", "smoke"), "fault")
    seen: list[str] = []
    before = None
    while True:
        page = world.service.list(before=before, limit=3)
        seen += [alert.device or "" for alert in page.alerts]
        before = page.next
        if before is None:
            break
    assert seen == [f"smoke-{n}" for n in range(6, -1, -1)]


def test_the_list_can_be_searched(world: World) -> None:
    world.alarm(world.town.add("smoke-1", "smoke"), "fault")
    world.alarm(world.town.add("gas-1", "gas"), "gas_thing")
    assert [alert.device for alert in world.service.list(text="smoke").alerts] == ["smoke-1"]
    assert [alert.device for alert in world.service.list(priority=2).alerts] == ["gas-1"]
    assert world.service.list(text="%").alerts == []
