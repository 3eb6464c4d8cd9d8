"""Whatever happens in whatever order, the spool loses nothing, numbers without gaps and repeats itself exactly."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contract.codec import decode_alarm, decode_data
from contract.messages import Alarm, Lane
from edge.spool_facts import FactStore
from edge.spool_readings import ReadingStore

LIMIT = 64 * 1_048_576
EPOCH = 1_790_000_000_000


class SpoolMachine(RuleBasedStateMachine):
    """Drives the two files as the writer threads do; a value is its own serial number."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.appended = 0
        self.alarms = 0
        self.clock = 0
        self.model = 0
        self.sent: dict[Lane, dict[int, bytes]] = {Lane.DATA: {}, Lane.BACKFILL: {}, Lane.ALARM: {}}
        self.acked = dict.fromkeys(self.sent, 0)
        self.expected_model: dict[int, int] = {}
        self.open()
        self.change_model()

    def open(self) -> None:
        self.readings = ReadingStore(self.folder / "r.db", now_ms=EPOCH, limit_bytes=LIMIT)
        self.facts = FactStore(self.folder / "f.db", now_ms=EPOCH, limit_bytes=LIMIT)

    def close(self) -> None:
        self.readings.close()
        self.facts.close()

    def teardown(self) -> None:
        self.drain()
        self.close()
        shutil.rmtree(self.folder)

    @rule()
    def change_model(self) -> None:
        self.model += 1
        with self.readings.database.transaction():
            self.readings.use_model(self.model, b"birth%d" % self.model)

    @rule(count=st.integers(1, 250), jump=st.integers(-100_000_000, 100_000_000))
    def append(self, count: int, jump: int) -> None:
        self.clock = max(0, self.clock + jump)
        rows = [(7, self.clock + i, float(self.appended + i), 0) for i in range(count)]
        with self.readings.database.transaction():
            self.readings.append(rows)
        for i in range(count):
            self.expected_model[self.appended + i] = self.model
        self.appended += count

    @rule(count=st.integers(1, 5))
    def alarm(self, count: int) -> None:
        facts = [
            Alarm(
                epoch=0, seq=0, alarm_id=str(self.alarms + i), device="d", kind="fire",
                is_active=True, measured_at=1,
            )
            for i in range(count)
        ]  # fmt: skip
        with self.facts.database.transaction():
            self.facts.append(list(facts))
        self.alarms += count

    @rule(keep=st.integers(0, 150))
    def link_returns(self, keep: int) -> None:
        with self.readings.database.transaction():
            self.readings.set_apart(keep)

    @rule(lane=st.sampled_from([Lane.DATA, Lane.BACKFILL]))
    def form(self, lane: Lane) -> None:
        with self.readings.database.transaction():
            message = self.readings.form(lane)
        if message:
            seq, payload = message
            assert seq == len(self.sent[lane]) + 1
            self.sent[lane][seq] = payload

    @rule()
    def send_alarms(self) -> None:
        for seq, payload in self.facts.outgoing(Lane.ALARM, 1, 1000):
            assert self.sent[Lane.ALARM].setdefault(seq, payload) == payload

    @rule(lane=st.sampled_from([Lane.DATA, Lane.BACKFILL, Lane.ALARM]), share=st.floats(0, 1))
    def acknowledge(self, lane: Lane, share: float) -> None:
        through = int(len(self.sent[lane]) * share)
        store = self.facts if lane is Lane.ALARM else self.readings
        with store.database.transaction():
            store.acknowledge(lane, through)
        self.acked[lane] = max(self.acked[lane], through)

    @rule(half_done=st.booleans())
    def crash(self, half_done: bool) -> None:
        if half_done:
            self.readings.begin()
            self.readings.append([(7, 1, -1.0, 0)] * 50)
            self.readings.form(Lane.DATA)
        self.close()
        self.open()

    @invariant()
    def resends_are_byte_for_byte_the_same(self) -> None:
        for lane in (Lane.DATA, Lane.BACKFILL):
            kept = dict(self.readings.outgoing(lane, 1, 10_000))
            wanted = {s: p for s, p in self.sent[lane].items() if s > self.acked[lane]}
            assert kept == wanted
            assert self.readings.lowest(lane) == self.acked[lane] + 1

    @invariant()
    def counters_are_true(self) -> None:
        live, backlog = self.readings.live_count, self.readings.backlog_count
        self.readings.rollback()
        assert (live, backlog) == (self.readings.live_count, self.readings.backlog_count)

    @precondition(lambda self: self.appended)
    @rule()
    def drain(self) -> None:
        for lane in (Lane.DATA, Lane.BACKFILL):
            before = -1
            while len(self.sent[lane]) != before:
                before = len(self.sent[lane])
                self.form(lane)
        self.send_alarms()
        values: list[int] = []
        for lane in (Lane.DATA, Lane.BACKFILL):
            of_lane: list[int] = []
            for seq, payload in self.sent[lane].items():
                batch = decode_data(payload)
                assert (batch.epoch, batch.seq) == (EPOCH, seq)
                for _, _, value, _ in batch.readings:
                    assert value is not None
                    of_lane.append(int(value))
                    assert self.expected_model[int(value)] == batch.model
            assert of_lane == sorted(of_lane)
            values += of_lane
        assert sorted(values) == list(range(self.appended))
        alarms = [decode_alarm(payload) for payload in self.sent[Lane.ALARM].values()]
        assert [alarm.alarm_id for alarm in alarms] == [str(i) for i in range(self.alarms)]
        assert [alarm.seq for alarm in alarms] == [i + 1 for i in range(self.alarms)]


SpoolMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, derandomize=True
)
TestSpool = SpoolMachine.TestCase
