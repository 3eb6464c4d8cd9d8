"""The cycle of the ingest worker: alarms first, rules before storage, nothing acknowledged before its commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

import structlog

from cloud.alerts.model import AlarmFact, EventFact
from cloud.devices import place_store, registry
from cloud.devices import store as device_store
from cloud.devices.directory import Directory
from cloud.devices.model import BirthOutcome
from cloud.errors import UnavailableError
from cloud.ingest import facts, store
from cloud.ingest.aliases import AliasBook, Learning, ModelKey
from cloud.ingest.intake import Intake, Urgent
from cloud.ingest.lanes import LaneKey
from cloud.ingest.lease import Lease, LeaseLostError
from cloud.ingest.model import Reason
from cloud.ingest.outbox import Outbox
from cloud.ingest.ports import Keeper
from cloud.ingest.presence import Turn
from cloud.ingest.rejections import RejectionLog
from cloud.ingest.writer import Committed, Opened, Registered, SeriesWriter
from cloud.kit.clock import Clock
from cloud.kit.mqtt import Inbox
from cloud.kit.sql import Connection, Database
from cloud.series.model import LaneMark, Row
from contract.messages import Lane
from contract.topics import shard_of

URGENT_AT_ONCE: Final = 256
BULK_AT_ONCE: Final = 128
ROWS_LIMIT: Final = 60_000
GROUP_S: Final = 0.05
RETRY_S: Final = (0.05, 2.0)
TRIES_BEFORE_SPLIT: Final = 3
TRANSIENT: Final = frozenset({"OperationalError", "InterfaceError", "TimeoutError", "OSError"})

_log = structlog.get_logger(__name__)


class StoppedError(UnavailableError):
    """The worker was told to end while it waited for a database: nothing of this was acknowledged."""


@dataclass(slots=True)
class Work:
    """What one transaction of the application database is about."""

    urgent: Urgent = field(default_factory=Urgent)
    rows: Sequence[Row] = ()
    late_rows: Sequence[Row] = ()
    received_at: int = 0
    tick_at: int | None = None

    def __bool__(self) -> bool:
        return bool(self.urgent or self.rows or self.late_rows or self.tick_at is not None)


class Cycle:
    """One thread runs this; only the network thread and the series writer run beside it."""

    def __init__(
        self,
        *,
        database: Database,
        writer: SeriesWriter,
        keeper: Keeper,
        directory: Directory,
        aliases: AliasBook,
        intake: Intake,
        outbox: Outbox,
        rejections: RejectionLog,
        inbox: Inbox,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._database = database
        self._writer = writer
        self._keeper = keeper
        self._directory = directory
        self._aliases = aliases
        self._intake = intake
        self._outbox = outbox
        self._rejections = rejections
        self._inbox = inbox
        self._lease = lease
        self._clock = clock
        self._committed: dict[LaneKey, int] = {}
        self._is_open = False
        self._submitted_s = 0.0
        self.is_stopping: Callable[[], bool] = lambda: False
        self.problem = ""

    def load(self) -> None:
        """Take over from whoever worked before: lanes, edges, aliases, conditions."""
        with self._database.read() as connection:
            for key, state in store.lanes(connection):
                if self._is_own(key.edge):
                    self._intake.book.restore(key, state.high, state.window)
            self._directory.refresh(connection)
            models = device_store.models(connection)
        now = int(self._clock.monotonic_s() * 1_000)
        for edge in self._directory.edges.values():
            if edge.is_online is not None and self._is_own(edge.id):
                self._intake.presence.restore(edge.id, is_online=edge.is_online, now=now)
        self._keeper.load()
        for edge_id, plan in models:
            if self._is_own(edge_id):
                self._aliases.learn(edge_id, plan)

    def _is_own(self, edge: str) -> bool:
        return self._lease.first <= shard_of(edge) <= self._lease.last

    def step(self) -> bool:
        """Do one round; tells whether there was anything to do."""
        urgent = self._inbox.take_urgent(URGENT_AT_ONCE)
        for arrival in urgent:
            self._intake.take(arrival)
        # Alarms are committed before any reading is looked at.
        self.settle()
        bulk = self._readings()
        self._store()
        self._collect()
        return bool(urgent or bulk)

    def wait(self, most_s: float) -> None:
        """Wait for a message or a commit; shortly when readings wait to be grouped."""
        self._inbox.wait(GROUP_S if self._intake.bulk else most_s)

    def settle(self, *, received_at: int = 0, tick_at: int | None = None) -> None:
        """Feed the rules, commit what they and the edges changed, then acknowledge."""
        live, late = self._intake.take_rows()
        work = Work(self._intake.urgent, live, late, received_at, tick_at)
        if work:
            if work.urgent:
                self._intake.urgent = Urgent()
            self._commit(work)
        self._acknowledge(work.urgent.lanes)

    def _readings(self) -> bool:
        if not self._is_open or len(self._intake.bulk.rows) >= ROWS_LIMIT:
            return False
        arrivals = self._inbox.take_bulk(BULK_AT_ONCE)
        for arrival in arrivals:
            self._intake.take(arrival)
        if arrivals:
            self.settle(received_at=arrivals[-1].received_at)
        return bool(arrivals)

    def _store(self) -> None:
        bulk = self._intake.bulk
        now = self._clock.monotonic_s()
        if not bulk or not self._writer.is_idle or now - self._submitted_s < GROUP_S:
            return
        if not self._lease.is_fresh:
            return
        self._submit()

    def _submit(self) -> None:
        self._submitted_s = self._clock.monotonic_s()
        bulk = self._intake.bulk
        self._intake.bulk = type(bulk)()
        marks = [
            LaneMark(key.edge, key.epoch, key.lane.value, self._intake.book.lane(key).high)
            for key in bulk.lanes
            if key in self._intake.book
        ]
        self._writer.append(bulk.rows, marks)

    def _collect(self) -> None:
        news = False
        for result in self._writer.take_results():
            match result:
                case Committed():
                    self._acknowledge_marks(result.marks)
                case Registered():
                    if isinstance(result.token, Learning):
                        self._aliases.registered(result.token, result.ids)
                    news = True
                case Opened():
                    self._opened(result)
                case _:
                    assert_never(result)
        if news:
            self._keeper.watch(self._aliases.keys)

    def _opened(self, result: Opened) -> None:
        self._is_open = True
        self._aliases.keys.update(result.keys)
        self._keeper.watch(self._aliases.keys, result.newest)
        for mark in result.marks:
            key = LaneKey(mark.edge, mark.epoch, Lane(mark.lane))
            self._intake.book.restore(key, mark.seq)
            self._committed[key] = mark.seq

    def _acknowledge_marks(self, marks: Sequence[LaneMark]) -> None:
        highs = {LaneKey(mark.edge, mark.epoch, Lane(mark.lane)): mark.seq for mark in marks}
        self._committed.update(highs)
        self._forget_lanes()
        self._outbox.ack(highs.items())

    def _forget_lanes(self) -> None:
        """Drop lanes that the book dropped: an edge that invents epochs must not fill the memory."""
        book = self._intake.book
        if len(self._committed) > 2 * len(book) + 100:
            self._committed = {key: at for key, at in self._committed.items() if key in book}

    def _acknowledge(self, lanes: set[LaneKey]) -> None:
        """Acknowledge lanes that were just committed, and again those that sent something twice."""
        book = self._intake.book
        self._committed.update((key, book.lane(key).high) for key in lanes if key in book)
        self._forget_lanes()
        again, self._intake.again = self._intake.again, set()
        known = self._committed
        self._outbox.ack([(key, known[key]) for key in again.union(lanes) if key in known])

    def _commit(self, work: Work) -> None:
        """Commit, and try until it succeeds; what can never be stored is refused after some tries."""
        pause, tries = RETRY_S[0], 0
        while True:
            error = self._attempt(work, is_retry=tries > 0)
            if error is None:
                self.problem = ""
                return
            tries += 1
            if tries >= TRIES_BEFORE_SPLIT and not is_transient(error):
                self._commit_singly(work)
                return
            if not self.problem:
                _log.error("application database fails, retrying", exc_info=error)
            self.problem = f"database: {error}"[:200]
            if self.is_stopping():
                raise StoppedError("told to end while the database does not work")
            # Nothing is read meanwhile, so the edges keep what they have; a lock is gone in milliseconds.
            self._inbox.wait(pause)
            pause = min(pause * 2, RETRY_S[1])

    def _attempt(self, work: Work, *, is_retry: bool) -> Exception | None:
        try:
            if is_retry:
                self._keeper.load()
                self._keeper.watch(self._aliases.keys)
            self._feed(work)
            if work.urgent or self._keeper.has_changes:
                with self._database.write() as connection:
                    outcomes = self._write(connection, work.urgent)
                self._births_taken(work.urgent, outcomes)
        except (LeaseLostError, StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - top of the supervised cycle: no message may end it
            return error
        return None

    def _feed(self, work: Work) -> None:
        for fact in work.urgent.facts:
            match fact:
                case AlarmFact():
                    self._keeper.feed_alarm(fact)
                case EventFact():
                    self._keeper.feed_event(fact)
                case Turn():
                    self._keeper.feed_edge(fact.edge, fact.is_online, self._clock.now_ms())
                case _:
                    assert_never(fact)
        if work.rows:
            self._keeper.feed_readings(work.rows, work.received_at)
        if work.late_rows:
            self._keeper.feed_readings(work.late_rows, work.received_at, is_backfill=True)
        if work.tick_at is not None:
            self._keeper.tick(work.tick_at)

    def _write(self, connection: Connection, urgent: Urgent) -> list[BirthOutcome]:
        self._lease.check(connection)
        outcomes = [
            registry.apply_birth(connection, edge, birth, at) for edge, birth, at in urgent.births
        ]
        for write in urgent.writes:
            write(connection)
        if self._keeper.has_changes:
            self._keeper.save(connection, self._clock.now_ms())
        book = self._intake.book
        store.save_lanes(connection, [(k, book.lane(k)) for k in urgent.lanes if k in book])
        return outcomes

    def _commit_singly(self, work: Work) -> None:
        """Commit piece by piece; the piece that fails is refused, loudly, so that the others go on."""
        urgent = work.urgent
        pieces = [
            *(Work(Urgent(births=[birth])) for birth in urgent.births),
            *(Work(Urgent(writes=[write])) for write in urgent.writes),
            *(Work(Urgent(facts=[fact])) for fact in urgent.facts),
            Work(Urgent(lanes=urgent.lanes)),
            Work(rows=work.rows, late_rows=work.late_rows, received_at=work.received_at),
            Work(tick_at=work.tick_at),
        ]
        for piece in pieces:
            error = self._attempt(piece, is_retry=True)
            if error is not None and is_transient(error):
                self._commit(piece)
            elif error is not None:
                what = repr(piece.urgent)[:200] if piece.urgent else "readings or clock"
                _log.error("cannot be stored, refused", what=what, exc_info=error)
                self._rejections.count("(cloud)", Reason.UNSTORABLE, f"{error}: {what}")
                self._tell_poison(piece)

    def _tell_poison(self, piece: Work) -> None:
        """Raise, in the place of an alarm that cannot be judged or stored, that there was one."""
        told = [
            facts.unreadable(fact.device, fact.received_at)
            for fact in piece.urgent.facts
            if isinstance(fact, AlarmFact) and fact.kind != facts.UNREADABLE
        ]
        error = self._attempt(Work(Urgent(facts=list(told))), is_retry=True) if told else None
        if error is not None:
            _log.error("alarm lost, nobody could be told", exc_info=error)

    def _births_taken(self, urgent: Urgent, outcomes: list[BirthOutcome]) -> None:
        for (edge, birth, _), outcome in zip(urgent.births, outcomes, strict=True):
            for device in outcome.foreign:
                self._rejections.count(edge, Reason.FOREIGN_DEVICE, f"birth: {device}")
            if outcome.is_new or ModelKey(edge, birth.model) not in self._aliases.tables:
                plan = registry.alias_plan(birth, frozenset(outcome.foreign))
                self._aliases.learn(edge, plan)
            if outcome.is_new:
                _log.info(
                    "edge born", edge=edge, devices=len(birth.devices), retired=len(outcome.retired)
                )
        if any(outcome.is_new for outcome in outcomes):
            self.refresh_directory()

    def greet(self) -> None:
        """Ask every edge of our shards for a sign of life: it also sends again at once what nobody answered."""
        shards = range(self._lease.first, self._lease.last + 1)
        for edge in self._directory.edges:
            if shard_of(edge) in shards:
                self._outbox.ping(edge)

    def was_deaf(self) -> None:
        """Tell the rules that it was we who could not hear."""
        self._keeper.feed_deafness()

    def refresh_directory(self) -> None:
        """Read devices, edges and places anew."""
        with self._database.read() as connection:
            self._directory.refresh(connection)

    def refresh_if_imported(self) -> None:
        """Read everything anew when somebody imported a site file or another worker registered devices."""
        with self._database.read() as connection:
            places = place_store.revision(connection)
            edges = device_store.edges_revision(connection)
        if (places, edges) != (self._directory.revision, self._directory.edges_revision):
            self.refresh_directory()
            self._keeper.watch(self._aliases.keys)

    def finish(self, timeout_s: float) -> None:
        """Store what was taken in and acknowledge it; what does not succeed in time is sent again."""
        self.settle()
        if self._intake.bulk and self._lease.is_fresh:
            self._submit()
        self._writer.stop(timeout_s)
        self._collect()


def is_transient(error: BaseException) -> bool:
    """Tell whether the same might succeed later: a lock, a full disk, a lost connection."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & TRANSIENT) or isinstance(error, UnavailableError)
