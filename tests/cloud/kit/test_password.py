import threading

import pytest

from cloud.errors import UnavailableError
from cloud.kit import password as door
from cloud.kit.password import Passwords


def test_a_hash_is_argon2id_salted_and_verifies_only_its_password() -> None:
    passwords = Passwords(memory_kib=8, passes=1)
    one, other = passwords.hash("火车站 password"), passwords.hash("火车站 password")
    assert one.startswith("$argon2id$")
    assert one != other
    assert passwords.verify(one, "火车站 password")
    assert not passwords.verify(one, "火车站 passwore")
    assert not passwords.verify("not a hash", "x")


def test_nobody_takes_the_same_work_and_is_never_right() -> None:
    passwords = Passwords(memory_kib=8, passes=1)
    asked: list[str] = []
    inner = passwords._hasher
    passwords._hasher = type(
        "Spy", (), {"verify": lambda _self, stored, word: asked.append(stored) or inner.verify(stored, word)}
    )()  # fmt: skip
    assert not passwords.verify(None, "anything")
    assert asked[0].startswith("$argon2id$")


def test_the_default_costs_what_the_standard_recommends() -> None:
    stored = Passwords().hash("x")
    assert "m=65536,t=3" in stored


def test_a_flood_of_logins_is_refused_instead_of_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_WAITING", 1)
    passwords = Passwords(memory_kib=8, passes=1)
    inside, go = threading.Event(), threading.Event()

    class Slow:
        def hash(self, _password: str) -> str:
            inside.set()
            assert go.wait(30)
            return "done"

    passwords._hasher = Slow()  # type: ignore[assignment]
    first = threading.Thread(target=passwords.hash, args=("x",))
    first.start()
    assert inside.wait(30)
    with pytest.raises(UnavailableError):
        passwords.hash("y")
    go.set()
    first.join(30)
    assert passwords.hash("z") == "done"
