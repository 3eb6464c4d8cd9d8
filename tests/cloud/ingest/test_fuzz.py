"""Valid messages, mutated by seeded chance, on every channel: nothing breaks or grows, and a fire still comes."""

import random
from typing import Any

import msgspec
import pytest

from cloud.alerts import store as alert_store
from cloud.ingest.lanes import EPOCHS_KEPT
from contract.codec import encode
from contract.messages import Alarm, Event, Lane, Reply, State
from contract.topics import Channel
from tests.cloud.ingest.conftest import EDGES, ROOT, Bench
from tests.cloud.ingest.scripted import ScriptedEdge, now_ms, until

ROUNDS = 2_500
ODD: list[Any] = [
    None, True, -1, 0, 1, 1 << 31, (1 << 53) - 1, 1 << 53, (1 << 64) - 1, -(1 << 63), 0.5, float("inf"), float("nan"),
    "", "gas-1", "linli-cloud", "\x00", "邻\u202e", "x" * 70_000, b"", b"\xff" * 2_000, [], [[]] * 50, {},
    {"a": {"b": []}},
]  # fmt: skip


def valid(edge: ScriptedEdge, channel: Channel) -> Any:
    """Give the plain values of a message that would be taken."""
    now = now_ms()
    fact = {"device": "gas-1", "measured_at": now, "detail": {"state": 3, "note": "n"}}
    match channel:
        case Channel.ALARM:
            made: Any = Alarm(epoch=1, seq=1, alarm_id="a", kind="fault", is_active=True, **fact)
        case Channel.EVENT:
            made = Event(epoch=1, seq=1, event_id="e", kind="link_up", **fact)
        case Channel.BIRTH:
            made = edge.birth
        case Channel.REPLY:
            made = Reply(id="r", ok=True, at=now, result={"a": 1})
        case Channel.STATE:
            made = State(online=True, boot=1, at=now)
        case _:
            made = [1, 1, now, edge.birth.model, [[1, 0, 1.0, 0], [2, 5, None, 3]]]
    return msgspec.to_builtins(made, builtin_types=(bytes,))


def mutate(chance: random.Random, value: Any) -> Any:
    """Change one thing somewhere in a message."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        return {**value, name: mutate(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        changed = [*value[:at], mutate(chance, value[at]), *value[at + 1 :]]
        return changed[: chance.randrange(len(changed) + 1)] if chance.random() < 0.1 else changed
    return chance.choice(ODD)


def damaged(chance: random.Random, payload: bytes) -> bytes:
    """Flip, cut or double some bytes."""
    raw = bytearray(payload)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(raw))
        match chance.randrange(3):
            case 0:
                raw[at] ^= 1 << chance.randrange(8)
            case 1:
                del raw[at : at + chance.randrange(1, 9)]
            case _:
                raw[at:at] = raw[at : at + 40]
        raw = raw or bytearray(b"\x00")
    return bytes(raw)


CHANNELS = (
    Channel.ALARM, Channel.EVENT, Channel.DATA, Channel.BACKFILL, Channel.BIRTH, Channel.REPLY, Channel.STATE,
)  # fmt: skip


def storm(edge: ScriptedEdge, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(ROUNDS):
        channel = chance.choice(CHANNELS)
        message = valid(edge, channel)
        if isinstance(message, list) and chance.random() < 0.7:
            # As many places of a lane as possible, in epochs of its own.
            message[0] = chance.choice([0, 1, number, 1 << 52])
            message[1] = chance.choice([1, number + 1, 1 << 40])
        if chance.random() < 0.7:
            message = mutate(chance, message)
        pack = msgspec.json.encode if channel is Channel.STATE else msgspec.msgpack.encode
        payload = pack(message)
        if chance.random() < 0.4:
            payload = damaged(chance, payload)
        edge.publish(channel, payload, retain=channel in (Channel.STATE, Channel.BIRTH))
    for epoch in range(500):
        fields = {"device": "gas-1", "measured_at": now_ms(), "kind": "press", "event_id": "e"}
        edge.publish(Channel.EVENT, encode(Event(epoch=10_000 + epoch, seq=1, **fields)))


def fires(bench: Bench) -> list[str]:
    with bench.database.read() as connection:
        return [str(alert.device) for alert in alert_store.open_of_rule(connection, "smoke.fire")]


@pytest.mark.parametrize("seed", [1, 26875])
def test_a_storm_of_mutated_messages_never_hides_a_fire(bench: Bench, seed: int) -> None:
    bench.start_worker(rules=ROOT / "config" / "rules")
    loud, calm = bench.edge(EDGES[0], ["gas-1", "gas-2"]), bench.edge(EDGES[1], ["hall-1"])
    storm(loud, seed)
    calm.alarm("hall-1", kind="fire")
    until(lambda: "hall-1" in fires(bench), "the fire of another edge is not raised")
    # The loud edge gets well: a new spool, and its own fire counts too.
    loud.epoch = now_ms()
    loud.seq[Lane.ALARM] = 0
    loud.publish(Channel.BIRTH, encode(loud.birth), retain=True)
    loud.alarm("gas-1", kind="fire")
    until(lambda: "gas-1" in fires(bench), "its own fire is not raised")
    until(lambda: loud.all_acked() or loud.resend(), "its lane has stalled")
    assert fires(bench).count("hall-1") == 1
    assert bench.worker is not None
    assert len(bench.worker.cycle._intake.book) <= 2 * 4 * EPOCHS_KEPT
    assert len(bench.worker.cycle._committed) <= 2 * len(bench.worker.cycle._intake.book) + 100
    bench.stop_worker()
    assert bench.exit_code == 0
    assert not bench.rejected("unstorable"), "something was refused by accident, not by judgement"
    assert bench.rejected("malformed") > 100
