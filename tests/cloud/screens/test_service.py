import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from cloud.errors import InvalidError
from cloud.kit.password import Passwords
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.people.accounts import Accounts, UserChange
from cloud.people.model import Principal, Role, SessionLimits
from cloud.people.service import PeopleService
from cloud.screens.feed import StreamLimits
from cloud.screens.service import ScreenService
from cloud.screens.unseen import UnseenWatch
from tests.cloud.screens.test_feed import EPOCH, HandClock, events

PASSWORD = "a quiet river at night"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.create_all()
    with database.write() as connection:
        journal.start(connection, EPOCH)
    yield database
    database.close()


@pytest.fixture
def people(database: Database, clock: HandClock) -> PeopleService:
    passwords = Passwords(memory_kib=8, passes=1)
    return PeopleService(database, clock=clock, passwords=passwords, limits=SessionLimits())


@pytest.fixture
def accounts(database: Database, clock: HandClock) -> Accounts:
    accounts = Accounts(database, clock=clock, passwords=Passwords(memory_kib=8, passes=1))
    accounts.add(username="li", name="李", role=Role.DUTY, password=PASSWORD)
    return accounts


@pytest.fixture
def officer(people: PeopleService, accounts: Accounts) -> Principal:
    return people.sign_in("li", PASSWORD, address="").principal


@pytest.fixture
def screens(database: Database, people: PeopleService, clock: HandClock) -> ScreenService:
    return ScreenService(database, people=people, clock=clock, limits=StreamLimits())


@asynccontextmanager
async def running(screens: ScreenService) -> AsyncIterator[ScreenService]:
    started = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(screens.run(started), name="screens")
        async with asyncio.timeout(20):
            await started.wait()
        yield screens
        task.cancel()


def raise_alert(database: Database, alert: str, at: int, **changed: object) -> int:
    body = {"id": alert, "priority": 1, "handling": "new", "suppression": "none"} | changed
    with database.write() as connection:
        return journal.append(connection, at=at, kind="alert", subject=alert, body=body)


def raise_many(database: Database, count: int) -> None:
    with database.write() as connection:
        for number in range(count):
            body = {"priority": 2, "handling": "new"}
            at = EPOCH + number
            journal.append(connection, at=at, kind="alert", subject=f"a{number}", body=body)


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not claim():  # noqa: ASYNC110 - polls what another thread changes
            await asyncio.sleep(0.005)


async def test_a_commit_of_another_connection_reaches_an_open_screen(
    screens: ScreenService, database: Database, officer: Principal
) -> None:
    async with running(screens):
        stream = screens.feed.open(officer, "")
        await stream.begin()
        raise_alert(database, "a1", EPOCH)
        found: list[str] = []
        async with asyncio.timeout(30):
            while "alert" not in found:
                found += [name for name, _, _ in events(await stream.following())]


async def test_what_was_before_the_start_is_resumed_from(
    screens: ScreenService, database: Database, officer: Principal
) -> None:
    raise_many(database, 1_200)
    async with running(screens):
        stream = screens.feed.open(officer, f"{EPOCH}.100")
        found = events(await stream.begin())
        assert [ident for _, ident, _ in found] == [f"{EPOCH}.{n}" for n in range(101, 1_201)]


async def test_a_forgotten_part_of_the_journal_means_resync(
    screens: ScreenService, database: Database, officer: Principal
) -> None:
    raise_many(database, 1_200)
    with database.write() as connection:
        journal.forget_before(connection, EPOCH + 150)
    async with running(screens):
        stream = screens.feed.open(officer, f"{EPOCH}.100")
        assert events(await stream.begin())[0][0] == "resync"


async def test_a_new_role_ends_the_stream(
    screens: ScreenService, accounts: Accounts, officer: Principal
) -> None:
    async with running(screens):
        stream = screens.feed.open(officer, "")
        assert await screens.check_sessions() == 0
        accounts.change(officer.user_id, UserChange(role=Role.INSTALLER), by="admin")
        assert await screens.check_sessions() == 1
        assert events(await stream.following()) == [("end", "", {"reason": "session_ended"})]


async def test_an_alert_no_screen_shows_is_told_on_the_stream(
    screens: ScreenService, database: Database, officer: Principal, clock: HandClock
) -> None:
    async with running(screens):
        raise_alert(database, "a1", clock.now_ms() - 60_000)
        await until(lambda: screens.feed.ring.head == 2)
    with database.read() as connection:
        [_, told] = journal.after(connection, 0)
    assert (told.kind, told.subject, told.body["alert_seq"]) == ("unseen", "a1", 1)


def watch(database: Database, clock: HandClock) -> UnseenWatch:
    watch = UnseenWatch(database, clock=clock)
    with database.read() as connection:
        watch.observe(journal.after(connection, 0))
    return watch


def test_an_urgent_alert_is_missed_after_ten_seconds_and_told_once(
    database: Database, clock: HandClock
) -> None:
    raise_alert(database, "a1", clock.now_ms())
    first = watch(database, clock)
    clock.now = 9.9
    assert first.check() == []
    clock.now = 10
    second = watch(database, clock)
    assert first.check() == ["a1"]
    assert first.check() == []
    assert second.check() == []


def test_a_displayed_alert_is_not_missed(
    database: Database, clock: HandClock, screens: ScreenService, officer: Principal
) -> None:
    seq = raise_alert(database, "a1", clock.now_ms())
    screens.displayed(officer, seq=seq, screen="desk", epoch=EPOCH)
    clock.now = 60
    assert watch(database, clock).check() == []


def test_a_display_of_earlier_changes_does_not_count(
    database: Database, clock: HandClock, screens: ScreenService, officer: Principal
) -> None:
    seq = raise_alert(database, "a0", clock.now_ms(), priority=3)
    raise_alert(database, "a1", clock.now_ms())
    screens.displayed(officer, seq=seq, screen="desk", epoch=None)
    clock.now = 60
    assert watch(database, clock).check() == ["a1"]


@pytest.mark.parametrize(
    "changed", [{"priority": 2}, {"handling": "acknowledged"}, {"suppression": "maintenance"}]
)
def test_what_needs_no_screen_is_not_missed(
    database: Database, clock: HandClock, changed: dict[str, object]
) -> None:
    raise_alert(database, "a1", clock.now_ms())
    raise_alert(database, "a1", clock.now_ms(), **changed)
    clock.now = 60
    assert watch(database, clock).check() == []


def test_a_receipt_never_goes_back_and_never_runs_ahead(
    database: Database, screens: ScreenService, officer: Principal
) -> None:
    for number in range(5):
        raise_alert(database, f"a{number}", EPOCH)
    screens.displayed(officer, seq=4, screen="desk", epoch=EPOCH)
    screens.displayed(officer, seq=2, screen="desk", epoch=EPOCH)
    screens.displayed(officer, seq=5, screen="wall", epoch=None)
    assert {(item.screen, item.seq) for item in screens.receipts()} == {("desk", 4), ("wall", 5)}
    for seq, epoch in ((6, None), (1, EPOCH + 1)):
        with pytest.raises(InvalidError):
            screens.displayed(officer, seq=seq, screen="desk", epoch=epoch)


def test_screens_not_heard_of_are_forgotten(
    database: Database, screens: ScreenService, officer: Principal, clock: HandClock
) -> None:
    screens.displayed(officer, seq=0, screen="desk", epoch=None)
    assert screens.forget_old() == 0
    clock.now = 8 * 86_400
    assert screens.forget_old() == 1
