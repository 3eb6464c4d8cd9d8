import re

import pytest

from cloud.errors import ConflictError, InvalidError, NotFoundError
from cloud.kit.password import Passwords, generate
from cloud.kit.sql import Database
from cloud.people.accounts import Accounts, UserChange
from cloud.people.model import Role
from cloud.people.service import PeopleService
from tests.cloud.people.conftest import PASSWORD, HandClock


def test_the_first_start_makes_one_administrator_once(
    database: Database, clock: HandClock, passwords: Passwords, people: PeopleService
) -> None:
    empty = Accounts(database, clock=clock, passwords=passwords)
    made = empty.first_start()
    assert made is not None
    assert made.password is not None
    assert people.sign_in("admin", made.password, address="").principal.role is Role.ADMIN
    assert empty.first_start() is None


def test_generated_passwords_are_long_and_differ() -> None:
    made = {generate() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){3}[a-hjkmnp-z2-9]{5}", one) for one in made)


def test_a_generated_password_has_to_be_changed(accounts: Accounts) -> None:
    made = accounts.add(username="new", name="新", role=Role.DUTY)
    assert made.password is not None
    assert made.user.must_change_password


def test_a_username_is_taken_once(accounts: Accounts) -> None:
    with pytest.raises(ConflictError):
        accounts.add(username="a-duty", name="x", role=Role.DUTY)


@pytest.mark.parametrize("username", ["", "Upper", "-a", "a b", "a" * 65, "名", "a\n"])
def test_an_odd_username_is_refused(accounts: Accounts, username: str) -> None:
    with pytest.raises(InvalidError):
        accounts.add(username=username, name="x", role=Role.DUTY)


def test_the_last_administrator_stays(accounts: Accounts) -> None:
    admin = accounts.named("a-admin")
    for change in (UserChange(role=Role.DUTY), UserChange(is_enabled=False)):
        with pytest.raises(ConflictError):
            accounts.change(admin.id, change, by="a-admin")
    assert accounts.named("a-admin") == admin


def test_a_set_password_ends_sessions(accounts: Accounts, people: PeopleService) -> None:
    secret = people.sign_in("a-duty", PASSWORD, address="").secret
    generated = accounts.set_password(accounts.named("a-duty").id, None, by="a-admin")
    assert people.by_session(secret) is None
    assert generated is not None
    assert people.sign_in("a-duty", generated, address="").principal.must_change_password


def test_nobody_is_changed_who_is_not_there(accounts: Accounts) -> None:
    with pytest.raises(NotFoundError):
        accounts.change("no", UserChange(), by="a-admin")
    with pytest.raises(NotFoundError):
        accounts.named("no")


def test_a_hash_with_old_parameters_is_made_anew(
    database: Database, clock: HandClock, accounts: Accounts
) -> None:
    from cloud.people import store
    from cloud.people.model import SessionLimits

    stronger = Passwords(memory_kib=16, passes=1)
    service = PeopleService(database, clock=clock, passwords=stronger, limits=SessionLimits())
    service.sign_in("a-duty", PASSWORD, address="")
    with database.read() as connection:
        stored = store.password_hash(connection, accounts.named("a-duty").id)
    assert stored is not None
    assert not stronger.is_outdated(stored)
