"""The worker between a real broker and real stores: what goes in once is stored once, what is bad is told."""

from contract.messages import Lane
from tests.cloud.ingest.conftest import EDGES, Bench
from tests.cloud.ingest.scripted import now_ms, until

E1, E2 = EDGES


def test_a_reading_and_an_alarm_are_stored_and_acknowledged(bench: Bench) -> None:
    bench.start_worker()
    edge = bench.edge(E1, ["gas-1", "gas-2"])
    t0 = now_ms()
    until(lambda: (edge.resend(), bench.keeper.series)[1], "the birth is not registered")
    edge.data([(1, 0, 4.5, 0), (2, 10, None, 3)], t0=t0)
    alarm = edge.alarm("gas-1")
    edge.event("gas-1", "link_up")
    until(edge.all_acked, "not acknowledged")
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
        edge.send(Lane.ALARM, alarm.seq, b"" or __import__("contract.codec").codec.encode(alarm))
    until(lambda: edge.acked[Lane.ALARM] == 1, "the duplicate is not answered")
    assert len(bench.fed("alarm")) == 1
