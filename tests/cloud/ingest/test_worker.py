"""The worker between a real broker and real stores: what goes in once is stored once."""

import random

from cloud.ingest import command_store
from cloud.kit.clock import SystemClock
from contract.codec import encode
from contract.messages import Lane
from contract.topics import Channel
from tests.cloud.ingest.conftest import EDGES, Bench
from tests.cloud.ingest.scripted import ScriptedEdge, now_ms, until

E1, E2 = EDGES


def registered(bench: Bench, devices: int) -> None:
    until(lambda: len(bench.keeper.series) >= devices, "the birth is not registered")


def settled(edge: ScriptedEdge) -> None:
    until(lambda: edge.all_acked() or edge.resend(), f"not acknowledged: {edge.unacked}")


def test_a_reading_and_an_alarm_are_stored_and_acknowledged(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1", "gas-2"])
    registered(bench, 2)
    t0 = now_ms()
    edge.data([(1, 0, 4.5, 0), (2, 10, None, 3)], t0=t0)
    alarm = edge.alarm("gas-1")
    edge.event("gas-1", "link_up")
    settled(edge)
    assert bench.points("gas-1") == {t0: 4.5}
    assert bench.points("gas-2") == {t0 + 10: None}
    assert [row.subject for row in bench.fed("alarm")] == [alarm.alarm_id]
    assert edge.acked[Lane.DATA] == 1
    assert bench.keeper.rows == 2


def test_a_message_sent_ten_times_counts_once_and_its_lost_ack_is_repeated(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    alarm = edge.alarm("gas-1")
    until(edge.all_acked, "not acknowledged")
    edge.acked[Lane.ALARM] = 0
    for _ in range(10):
        edge.send(Lane.ALARM, alarm.seq, encode(alarm))
    until(lambda: edge.acked[Lane.ALARM] == 1, "the duplicate is not answered")
    assert len(bench.fed("alarm")) == 1


def test_doubled_and_shuffled_messages_are_each_stored_once(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    registered(bench, 1)
    chance, t0 = random.Random(7), now_ms()
    for base in range(0, 600, 60):
        for n in range(base, base + 60):
            edge.data([(1, 0, float(n), 0)], t0=t0 + n, publish=False)
        burst = list(edge.unacked[Lane.DATA].values()) * 2
        chance.shuffle(burst)
        for payload in burst:
            edge.publish(Channel.DATA, payload)
        settled(edge)
    assert bench.points("gas-1") == {t0 + n: float(n) for n in range(600)}
    assert bench.keeper.rows == 600


def test_alarms_pass_while_readings_cannot_be_stored(bench: Bench) -> None:
    (bench.folder / "series").write_text("a file where the folder should be")
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    edge.data([(1, 0, 1.0, 0)])
    alarm = edge.alarm("gas-1")
    until(lambda: edge.acked[Lane.ALARM] == alarm.seq, "the alarm waits for the series store")
    assert edge.acked[Lane.DATA] == 0
    worker = bench.worker
    assert worker is not None
    until(lambda: worker.writer.problem, "the failure is not told")
    (bench.folder / "series").unlink()
    settled(edge)
    assert len(bench.points("gas-1")) == 1


def test_nothing_is_acknowledged_while_the_database_fails_and_all_is_kept_after(
    bench: Bench,
) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    settled(edge)
    loads = bench.keeper.loads
    bench.keeper.broken = OSError(28, "No space left on device")
    alarms = [edge.alarm("gas-1") for _ in range(5)]
    until(lambda: bench.keeper.loads > loads + 4, "no retry")
    assert edge.acked[Lane.ALARM] == 0
    bench.keeper.broken = None
    settled(edge)
    assert sorted(row.subject for row in bench.fed("alarm")) == sorted(
        alarm.alarm_id for alarm in alarms
    )


def test_one_alarm_that_breaks_a_rule_does_not_stop_the_others(bench: Bench) -> None:
    bench.keeper.poison = "poison"
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    before = edge.alarm("gas-1")
    edge.alarm("gas-1", kind="poison")
    after = edge.alarm("gas-1")
    settled(edge)
    told = {row.subject: row.body["kind"] for row in bench.fed("alarm")}
    assert told == {before.alarm_id: "gas", after.alarm_id: "gas", "": "unreadable_alarm"}
    until(lambda: bench.rejected("unstorable") == 1, "the refusal is not told")


def test_a_command_is_sent_until_answered_and_its_answer_is_kept(bench: Bench) -> None:
    clock = SystemClock()
    with bench.database.write() as connection:
        for name, expires in (("c1", 60_000), ("c2", -1)):
            command_store.add(
                connection,
                command_id=name,
                edge=E1,
                op="write",
                args={"device": "gas-1", "value": 0},
                issued_at=clock.now_ms(),
                issued_by="somebody",
                expires=clock.now_ms() + expires,
            )
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])

    def state(name: str) -> str:
        with bench.database.read() as connection:
            found = command_store.state_of(connection, name)
        return found[0].value if found else ""

    until(lambda: state("c1") == "done", "no answer")
    assert state("c2") == "expired"
    assert [command.args["value"] for command in edge.commands if command.op == "write"][:1] == [0]


def test_a_second_worker_waits_until_the_first_has_gone(bench: Bench) -> None:
    first = bench.start_process()
    edge = bench.edge(E1, ["gas-1"])
    settled(edge)
    edge.alarm("gas-1")
    settled(edge)
    second = bench.start_process()
    edge.alarm("gas-1")
    settled(edge)
    assert second.poll() is None
    first.kill()
    first.wait()
    edge.alarm("gas-1")
    settled(edge)
    assert len(bench.fed("alarm")) == 3


def test_an_edge_that_is_cut_off_is_offline_and_comes_back(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    until(lambda: [row.body for row in bench.fed("edge")] == [{"online": True}], "not online")
    edge._client.socket().shutdown(2)
    until(lambda: {"online": False} in [row.body for row in bench.fed("edge")], "not offline")
    until(lambda: bench.fed("edge")[-1].body == {"online": True}, "not back")


def test_the_broker_may_be_killed_and_wiped(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    registered(bench, 1)
    t0 = now_ms()
    for n in range(300):
        edge.data([(1, 0, float(n), 0)], t0=t0 + n, publish=n % 64 < 32)
        if n in (100, 200):
            bench.broker.kill()
            bench.broker.start()
        if n % 60 == 59:
            settled(edge)
    settled(edge)
    assert bench.points("gas-1") == {t0 + n: float(n) for n in range(300)}


def test_a_worker_that_comes_greets_its_edges_so_that_they_send_again(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1"])
    registered(bench, 1)
    bench.stop_worker()
    edge.commands.clear()
    bench.start_worker()
    until(lambda: any(command.op == "ping" for command in edge.commands), "not greeted")
