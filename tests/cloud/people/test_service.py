import pytest
import sqlalchemy as sa

from cloud.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotSignedInError,
    TooManyRequestsError,
)
from cloud.kit.sql import Database
from cloud.people import audit_store, store
from cloud.people.accounts import Accounts, UserChange
from cloud.people.model import Principal, Role, Scope
from cloud.people.service import PeopleService, key_of
from tests.cloud.people.conftest import LIMITS, PASSWORD, HandClock

HERE = "192.0.2.7"


def sign_in(people: PeopleService, name: str = "a-duty", address: str = HERE) -> str:
    return people.sign_in(name, PASSWORD, address=address).secret


def principal_of(people: PeopleService, secret: str) -> Principal:
    principal = people.by_session(secret)
    assert principal is not None
    return principal


def test_a_session_names_its_person(people: PeopleService, accounts: Accounts) -> None:
    principal = principal_of(people, sign_in(people))
    assert (principal.username, principal.role) == ("a-duty", Role.DUTY)
    assert people.by_session("something else") is None


def test_no_secret_is_stored(people: PeopleService, accounts: Accounts, database: Database) -> None:
    secret = sign_in(people)
    token = people.make_token(
        principal_of(people, secret), name="wall", scope=Scope.READ, days=None
    )
    with database.read() as connection:
        dump = "\n".join(
            str(row)
            for table in (store.session_table, store.token_table, store.user_table, audit_store.audit_table)
            for row in connection.execute(sa.select(table))
        )  # fmt: skip
    assert secret not in dump
    assert token.secret not in dump
    assert PASSWORD not in dump
    assert key_of(secret) in dump


def test_a_session_ends_without_use(
    people: PeopleService, accounts: Accounts, clock: HandClock
) -> None:
    secret = sign_in(people)
    clock.now += LIMITS.idle_ms - 1
    assert people.by_session(secret) is not None
    clock.now += LIMITS.idle_ms - 1
    assert people.by_session(secret) is not None
    clock.now += LIMITS.idle_ms
    assert people.by_session(secret) is None


def test_a_session_ends_in_any_case(
    people: PeopleService, accounts: Accounts, clock: HandClock
) -> None:
    secret = sign_in(people)
    for _ in range(11):
        clock.now += LIMITS.absolute_ms // 11 - 1
        assert people.by_session(secret) is not None
    clock.now += 100
    assert people.by_session(secret) is None


def test_an_open_stream_keeps_its_session_alive_but_not_beyond_its_end(
    people: PeopleService, accounts: Accounts, clock: HandClock
) -> None:
    secret = sign_in(people)
    principal = principal_of(people, secret)
    while clock.now + 120_000 < (principal.expires_at or 0):
        clock.now += 1_800_000
        alive = clock.now < (principal.expires_at or 0)
        assert (principal.credential in people.still_valid([principal])) == alive
    clock.now += 1_800_000
    assert people.still_valid([principal]) == frozenset()


def test_a_new_role_ends_streams_and_sessions(people: PeopleService, accounts: Accounts) -> None:
    secret = sign_in(people)
    principal = principal_of(people, secret)
    assert people.still_valid([principal]) == {principal.credential}
    accounts.change(principal.user_id, UserChange(role=Role.SUPERVISOR), by="a-admin")
    assert people.still_valid([principal]) == frozenset()
    assert people.by_session(secret) is None


def test_a_disabled_person_is_out_and_stays_out(people: PeopleService, accounts: Accounts) -> None:
    secret = sign_in(people)
    principal = principal_of(people, secret)
    token = people.make_token(principal, name="t", scope=Scope.ACT, days=1)
    accounts.change(principal.user_id, UserChange(is_enabled=False), by="a-admin")
    assert people.by_session(secret) is None
    assert people.by_token(token.secret) is None
    with pytest.raises(NotSignedInError):
        sign_in(people)


def test_the_old_session_ends_when_a_new_one_replaces_it(
    people: PeopleService, accounts: Accounts
) -> None:
    first = sign_in(people)
    second = people.sign_in("a-duty", PASSWORD, address=HERE, replaces=first).secret
    assert people.by_session(first) is None
    assert people.by_session(second) is not None


def test_a_new_password_ends_every_other_session(people: PeopleService, accounts: Accounts) -> None:
    other, mine = sign_in(people), sign_in(people)
    changed = people.change_password(
        principal_of(people, mine), old=PASSWORD, new="another quiet river", address=HERE
    )
    assert people.by_session(other) is None
    assert people.by_session(mine) is None
    assert people.by_session(changed.secret) is not None
    with pytest.raises(NotSignedInError):
        sign_in(people)


@pytest.mark.parametrize(
    "weak", ["short", "1234567890", "aaaaaaaaaaaa", "i am a-duty indeed", "x" * 129, PASSWORD]
)
def test_a_weak_password_is_refused(people: PeopleService, accounts: Accounts, weak: str) -> None:
    with pytest.raises(InvalidError):
        people.change_password(
            principal_of(people, sign_in(people)), old=PASSWORD, new=weak, address=HERE
        )


def fail(people: PeopleService, times: int, name: str = "a-duty", address: str = HERE) -> int:
    """Guess wrongly and tell how many guesses were looked at."""
    looked_at = 0
    for _ in range(times):
        try:
            people.sign_in(name, "wrong password", address=address)
        except NotSignedInError:
            looked_at += 1
        except TooManyRequestsError:
            pass
    return looked_at


def test_guessing_one_person_is_slowed_down_from_anywhere(
    people: PeopleService, accounts: Accounts
) -> None:
    assert sum(fail(people, 1, address=f"198.51.100.{n}") for n in range(40)) == 6


def test_guessing_many_people_from_one_address_is_slowed_down(
    people: PeopleService, accounts: Accounts
) -> None:
    assert sum(fail(people, 1, name=f"nobody-{n}") for n in range(60)) == 31
    with pytest.raises(TooManyRequestsError) as caught:
        sign_in(people)
    assert caught.value.hint.startswith("try again in")
    assert sign_in(people, address="203.0.113.9")


def test_an_ipv6_network_counts_as_one_address(people: PeopleService, accounts: Accounts) -> None:
    tried = (fail(people, 1, f"nobody-{n}", f"2001:db8::{n:x}") for n in range(60))
    assert sum(tried) == 31


def test_guessing_never_locks_duty_staff_out_for_more_than_a_minute(
    people: PeopleService, accounts: Accounts, clock: HandClock
) -> None:
    for n in range(100):
        fail(people, 1, address=f"198.51.100.{n}")
        clock.now += 30_000
    clock.now += 60_000
    assert sign_in(people)


def test_signing_in_many_times_from_one_office_is_no_attack(
    people: PeopleService, accounts: Accounts
) -> None:
    for _ in range(60):
        assert sign_in(people)


def test_an_own_account_does_not_wash_an_address_clean(
    people: PeopleService, accounts: Accounts
) -> None:
    looked_at = 0
    for n in range(45):
        looked_at += fail(people, 1, name=f"nobody-{n}")
        if n < 20:
            sign_in(people)
    assert looked_at == 31


def test_the_table_of_attempts_is_bounded(
    people: PeopleService, accounts: Accounts, monkeypatch: pytest.MonkeyPatch,
    clock: HandClock, database: Database,
) -> None:  # fmt: skip
    from cloud.people import attempt_store

    monkeypatch.setattr(attempt_store, "ATTEMPT_ROWS", 20)
    for n in range(60):
        clock.now += 1
        fail(people, 1, name=f"nobody-{n}", address=f"198.51.100.{n}")
    with database.read() as connection:
        count = connection.execute(
            sa.select(sa.func.count()).select_from(attempt_store.attempt_table)
        ).scalar_one()
    assert count <= 21


def test_a_token_expires_and_is_revoked(
    people: PeopleService, accounts: Accounts, clock: HandClock
) -> None:
    me = principal_of(people, sign_in(people))
    short = people.make_token(me, name="short", scope=Scope.READ, days=1)
    lasting = people.make_token(me, name="lasting", scope=Scope.ACT, days=None)
    clock.now += 86_400_000
    assert people.by_token(short.secret) is None
    found = people.by_token(lasting.secret)
    assert found is not None
    assert found.is_token
    assert found.name == "duty"
    assert people.still_valid([found]) == {found.credential}
    people.revoke_token(me, lasting.token.id)
    assert people.by_token(lasting.secret) is None
    with pytest.raises(NotFoundError):
        people.revoke_token(me, lasting.token.id)


def test_a_token_does_not_grow_into_more_tokens(people: PeopleService, accounts: Accounts) -> None:
    me = principal_of(people, sign_in(people))
    made = people.make_token(me, name="t", scope=Scope.ACT, days=1)
    token = people.by_token(made.secret)
    assert token is not None
    with pytest.raises(ForbiddenError):
        people.make_token(token, name="u", scope=Scope.ACT, days=1)
    with pytest.raises(ForbiddenError):
        people.change_password(token, old=PASSWORD, new="another quiet river", address=HERE)


def test_what_has_ended_is_forgotten(
    people: PeopleService, accounts: Accounts, clock: HandClock
) -> None:
    sign_in(people)
    fail(people, 2)
    assert people.forget_ended() == 0
    clock.now += 86_400_000
    assert people.forget_ended() == 3


def test_the_audit_cannot_be_rewritten(accounts: Accounts, database: Database) -> None:
    accounts.first_start()
    rows = accounts.audit(None, 100)
    assert {row.action for row in rows} == {"user_created"}
    for statement in ("update audit set actor='x'", "delete from audit"):
        with (
            pytest.raises(sa.exc.DBAPIError, match="append-only"),
            database.write() as connection,
        ):
            connection.exec_driver_sql(statement)
    assert accounts.audit(None, 100) == rows
