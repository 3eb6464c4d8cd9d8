"""What strangers and broken edges send: counted with a reason and a name, and nothing else happens."""

import random

import msgspec
import pytest

from contract.codec import encode
from contract.messages import Alarm, DataBatch, Event, Lane
from contract.topics import Channel, topic
from tests.cloud.ingest.conftest import EDGES, Bench
from tests.cloud.ingest.scripted import ScriptedEdge, birth, now_ms, until
from tests.mosquitto import CLOUD, Mosquitto

E1, E2 = EDGES
YEAR_MS = 366 * 86_400_000
BOMB = b"\xdd\xff\xff\xff\xff" + b"\xdd\x00\x00\xff\xff" * 200
DEEP = b"\x91" * 100_000


def ready(bench: Bench) -> ScriptedEdge:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1", "gas-2"])
    until(lambda: len(bench.keeper.series) == 2, "the birth is not registered")
    return edge


def alive(bench: Bench, edge: ScriptedEdge) -> None:
    """A good reading after all the bad is still stored and acknowledged."""
    t0 = now_ms() + 1_000
    edge.data([(1, 0, 7.0, 0)], t0=t0)
    until(lambda: edge.all_acked() or edge.resend(), "the lane has stalled")
    assert bench.points("gas-1")[t0] == 7.0


def test_a_bad_message_in_a_lane_is_used_up_so_that_the_lane_goes_on(bench: Bench) -> None:
    edge = ready(bench)
    good = encode(DataBatch(1, 1, now_ms(), edge.birth.model, [(1, 0, 1.0, 0)]))
    bad = [
        msgspec.msgpack.encode([1, 1, "text", 3, []]),
        msgspec.msgpack.encode([1, 2, 3, 4, [[1, 2, float("nan"), 0]]]),
        msgspec.msgpack.encode([1, 3, 3, 4, [[1, -5, 1.0, 0]]]),
        msgspec.msgpack.encode([1, 4, 5]) + b"\xc1\xc1",
        msgspec.msgpack.encode([1, 5, 3, 4, [[1, 2, 1.0, 0]] * 3_000]),
        msgspec.msgpack.encode([1, 6, "x" * 300_000]),
        b"\x95\x01\x07" + good[3:20],
    ]
    for seq, payload in enumerate(bad, 1):
        edge.send(Lane.DATA, edge.next_seq(Lane.DATA), payload)
        assert seq == edge.seq[Lane.DATA]
    alive(bench, edge)
    until(lambda: bench.rejected("malformed") == 6, "not counted")
    assert bench.rejected("oversize") == 1


def test_bombs_wrong_types_and_noise_are_only_counted(bench: Bench) -> None:
    edge = ready(bench)
    chance = random.Random(11)
    noise = [chance.randbytes(chance.randrange(64)) for _ in range(200)]
    for channel in (Channel.DATA, Channel.ALARM, Channel.EVENT, Channel.BIRTH, Channel.REPLY):
        for payload in [BOMB, DEEP, b"", b"\xc0", b"\xff" * 50, *noise]:
            if payload[:1] not in b"\x92\x93\x94\x95\x96\xdc\xdd":
                edge.publish(channel, payload)
    edge.publish(Channel.STATE, b'{"online": "maybe"}')
    edge.publish(Channel.STATE, b"[" * 100_000)
    alive(bench, edge)
    until(lambda: bench.rejected("malformed") > 900, "not counted")


@pytest.mark.parametrize("change", [{"epoch": 1 << 60}, {"seq": 1 << 62}, {"seq": 1 << 63}])
def test_numbers_no_database_can_hold_are_refused(bench: Bench, change: dict[str, int]) -> None:
    edge = ready(bench)
    place = {"epoch": 1, "seq": 1} | change
    batch = DataBatch(place["epoch"], place["seq"], now_ms(), edge.birth.model, [(1, 0, 1.0, 0)])
    edge.publish(Channel.DATA, encode(batch))
    alarm = Alarm(
        **place, alarm_id="a", device="gas-1", kind="gas", is_active=True, measured_at=now_ms()
    )
    edge.publish(Channel.ALARM, encode(alarm))
    until(lambda: bench.rejected("numbers") == 2, "not counted")
    until(lambda: unreadable(bench) == [E1], "nobody is told of the alarm")
    edge.publish(Channel.ALARM, encode(alarm))
    alive(bench, edge)
    assert unreadable(bench) == [E1], "it is told again each time"


def test_a_reading_a_year_off_is_refused_and_its_neighbours_are_kept(bench: Bench) -> None:
    edge = ready(bench)
    now = now_ms()
    edge.data([(1, 0, 1.0, 0)], t0=now - 2 * YEAR_MS)
    edge.data([(1, 0, 2.0, 0)], t0=now + YEAR_MS)
    edge.data([(1, 0, 3.0, 0), (2, 10_800_000, 4.0, 0)], t0=now - 60_000)
    edge.data([(1, 0, 5.0, 0)], t0=1 << 63)
    alive(bench, edge)
    until(lambda: bench.rejected("impossible_time") == 4, "not counted")
    assert bench.points("gas-1")[now - 60_000] == 3.0
    assert not bench.points("gas-2")


@pytest.mark.parametrize("offset", [-3 * YEAR_MS, YEAR_MS])
def test_an_alarm_a_year_off_is_raised_with_its_arrival_and_marked(
    bench: Bench, offset: int
) -> None:
    edge = ready(bench)
    now = now_ms()
    edge.alarm("gas-1", measured_at=max(0, now + offset), device_at=1 << 62)
    until(edge.all_acked, "not acknowledged")
    (row,) = bench.fed("alarm")
    assert row.body["detail"]["time_untrusted"] is True
    assert now <= row.body["measured_at"] <= now_ms()


def test_an_unknown_alias_costs_only_its_own_reading(bench: Bench) -> None:
    edge = ready(bench)
    t0 = now_ms()
    edge.data([(99, 0, 1.0, 0), (2, 0, 6.0, 0)], t0=t0)
    alive(bench, edge)
    until(lambda: bench.rejected("unknown_alias") == 1, "not counted")
    assert bench.points("gas-2") == {t0: 6.0}


def test_an_unknown_model_is_asked_for_and_then_its_data_is_taken(bench: Bench) -> None:
    edge = ready(bench)
    edge.birth = birth(E1, ["gas-1", "gas-2", "gas-3"])
    t0 = now_ms()
    edge.data([(3, 0, 8.0, 0)], t0=t0)
    until(lambda: [c for c in edge.commands if c.op == "rebirth"], "no birth was asked for")
    until(lambda: edge.all_acked() or edge.resend(), "not acknowledged")
    assert bench.points("gas-3") == {t0: 8.0}


def unreadable(bench: Bench) -> list[str]:
    """Give the devices of the alerts that an alarm could not be read."""
    alarms = bench.fed("alarm")
    return [row.body["device"] for row in alarms if row.body["kind"] == "unreadable_alarm"]


def test_a_device_of_another_edge_is_refused_until_that_edge_gives_it_up(bench: Bench) -> None:
    owner = ready(bench)
    thief = bench.edge(E2, ["gas-1", "own-1"])
    until(lambda: len(bench.keeper.series) == 3, "the second birth is not registered")
    t0 = now_ms()
    thief.data([(1, 0, 99.0, 0), (2, 0, 1.0, 0)], t0=t0)
    thief.alarm("gas-1")
    thief.event("gas-1", "link_down")
    until(lambda: thief.all_acked() or thief.resend(), "its lanes have stalled")
    until(lambda: bench.rejected("foreign_device") >= 4, "not counted")
    assert not bench.points("gas-1")
    assert bench.points("own-1") == {t0: 1.0}
    assert not [row for row in bench.fed("event") if row.subject == "gas-1"]
    (told,) = bench.fed("alarm")
    assert told.body["detail"]["reported_by"] == told.body["reported_by"] == E2
    owner.birth = birth(E1, ["gas-2"])
    owner.publish(Channel.BIRTH, encode(owner.birth))
    until(lambda: E2 in owners(bench, "gas-1", thief), "not handed over")
    thief.alarm("gas-1")
    until(lambda: len(bench.fed("alarm")) == 2, "the new owner's alarm is not raised")
    assert bench.fed("alarm")[1].body["reported_by"] == ""


def owners(bench: Bench, device: str, edge: ScriptedEdge) -> list[str]:
    from cloud.devices import store

    edge.publish(Channel.BIRTH, encode(edge.birth))
    with bench.database.read() as connection:
        return list(store.owners(connection, [device]).values())


def test_texts_that_hurt_databases_are_put_right(bench: Bench) -> None:
    edge = ready(bench)
    edge.alarm("unheard-of", kind="fi\x00re", detail={"no\x00te": "a\x00b", "n": float("inf")})
    edge.send(
        Lane.EVENT,
        edge.next_seq(Lane.EVENT),
        encode(
            Event(
                epoch=1, seq=1, event_id="x" * 4_000, device="gas-1", kind="odd", measured_at=0,
                detail={str(n): "y" * 2_000 for n in range(100)},
            )
        ),
    )  # fmt: skip
    until(lambda: edge.all_acked() or edge.resend(), "its lanes have stalled")
    (row,) = bench.fed("alarm")
    assert row.body["kind"] == "fire"
    assert row.body["detail"] == {"note": "ab", "n": None}


def test_a_birth_that_contradicts_itself_is_refused(bench: Bench) -> None:
    edge = ready(bench)
    bad = birth(E1, ["gas-1", "gas-1"])
    edge.publish(Channel.BIRTH, encode(bad))
    edge.publish(Channel.BIRTH, encode(birth(E1, ["NOT AN ID"])))
    edge.publish(Channel.BIRTH, encode(msgspec.structs.replace(birth(E1, ["g"]), boot=1 << 62)))
    edge.publish(Channel.BIRTH, encode(msgspec.structs.replace(edge.birth, model=5)))
    until(lambda: bench.rejected("birth_content") == 3, "not counted")
    until(lambda: bench.rejected("malformed") == 1, "not counted")
    alive(bench, edge)


def test_topics_of_the_wrong_shard_or_shape_are_refused(bench: Bench) -> None:
    bench.broker.kill()
    bench.broker = Mosquitto(bench.folder / "open", [*EDGES, CLOUD], open_acl=True)
    bench.broker.start()
    config = bench.folder / "cloud.yaml"
    lines = config.read_text().splitlines()
    broker = f"broker: {{port: {bench.broker.port}, password_file: broker-password}}"
    config.write_text("\n".join(broker if line.startswith("broker") else line for line in lines))
    edge = ready(bench)
    payload = encode(DataBatch(1, 1, now_ms(), edge.birth.model, [(1, 0, 1.0, 0)]))
    right = topic(E1, Channel.DATA)
    shard = right.split("/")[2]
    edge.publish_raw(right.replace(f"/{shard}/", f"/{(int(shard, 16) + 1) % 64:02x}/"), payload)
    edge.publish_raw(f"linli/1/{shard}/Not An Edge/up/data", payload)
    alive(bench, edge)
    until(lambda: bench.rejected("topic") == 2, "not counted")
