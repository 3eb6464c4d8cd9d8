"""What the worker does by the clock: silences, deadlines, commands, signs of life, new rules, forgetting."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from cloud.devices import store as device_store
from cloud.devices.registry import TAKEOVER_MS
from cloud.ingest import command_store, store
from cloud.ingest.intake import Intake
from cloud.ingest.lease import Lease, LeaseLostError
from cloud.ingest.model import Reason, WorkerPulse
from cloud.ingest.outbox import Outbox
from cloud.ingest.rejections import RejectionLog
from cloud.ingest.service import Cycle, StoppedError
from cloud.ingest.writer import SeriesWriter
from cloud.kit.clock import Clock
from cloud.kit.mqtt import Inbox
from cloud.kit.sql import Database
from cloud.notify import journal
from contract.topics import shard_of

TICK_S: Final = 1.0
BEAT_S: Final = 2.0
LOOK_S: Final = 5.0
CLAIMS_S: Final = 60.0
SWEEP_S: Final = 3_600.0
DAY_MS: Final = 86_400_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Chore:
    """One thing done every `every_s`; a failure is told once and tried again next time."""

    name: str
    every_s: float
    do: Callable[[], None]
    due_s: float = 0.0
    is_failing: bool = False


class Chores:
    """All chores of one worker, done by the thread of the cycle."""

    def __init__(
        self,
        *,
        cycle: Cycle,
        intake: Intake,
        outbox: Outbox,
        writer: SeriesWriter,
        rejections: RejectionLog,
        inbox: Inbox,
        lease: Lease,
        database: Database,
        clock: Clock,
        journal_days: int,
        is_connected: Callable[[], bool],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._cycle = cycle
        self._intake = intake
        self._outbox = outbox
        self._writer = writer
        self._rejections = rejections
        self._inbox = inbox
        self._lease = lease
        self._database = database
        self._clock = clock
        self._journal_days = journal_days
        self._is_connected = is_connected
        self._look_further = look
        self._started_at = clock.now_ms()
        self._dropped = 0
        self._is_deaf = False
        self._has_greeted = False
        self._seen: dict[str, int] = {}
        self._chores = [
            _Chore("beat", BEAT_S, self.beat),
            _Chore("tick", TICK_S, self.tick),
            _Chore("commands", TICK_S, lambda: self._outbox.send_waiting(self._database)),
            _Chore("look", LOOK_S, self._look),
            _Chore("claims", CLAIMS_S, self._hear_claims),
            _Chore("sweep", SWEEP_S, self._sweep),
        ]

    def run_due(self) -> float:
        """Do what is due and tell for how many seconds nothing is."""
        for chore in self._chores:
            now = self._clock.monotonic_s()
            if now >= chore.due_s:
                chore.due_s = now + chore.every_s
                self._try(chore)
        now = self._clock.monotonic_s()
        return max(0.0, min(chore.due_s for chore in self._chores) - now)

    def _try(self, chore: _Chore) -> None:
        try:
            chore.do()
        except (LeaseLostError, StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - top of a supervised chore
            if not chore.is_failing:
                chore.is_failing = True
                _log.error("chore fails", chore=chore.name, exc_info=error)
        else:
            chore.is_failing = False

    def tick(self) -> None:
        """Let time pass for edges and alerts."""
        now = self._clock.now_ms()
        steady = int(self._clock.monotonic_s() * 1_000)
        if not self._is_connected():
            self._is_deaf, self._has_greeted = True, False
            self._cycle.settle(tick_at=now)
            return
        if self._is_deaf:
            self._is_deaf = False
            self._intake.presence.hold(steady)
            self._cycle.was_deaf()
        if not self._has_greeted:
            # After our absence alarms would wait for the edges' timers, up to 8 s.
            self._has_greeted = True
            self._cycle.greet()
        outlook = self._intake.presence.tick(steady)
        for turn in outlook.turns:
            _log.warning("edge silent", edge=turn.edge)
            self._intake.turn(turn, now)
        for edge in outlook.ask:
            self._outbox.ping(edge)
        self._cycle.settle(tick_at=now)

    def beat(self) -> None:
        """Prolong the lease and leave a sign of life."""
        dropped = self._inbox.dropped
        if dropped > self._dropped:
            detail = "the inbox is full; what was dropped is sent again"
            self._rejections.count("(cloud)", Reason.OVERLOAD, detail, dropped - self._dropped)
            self._dropped = dropped
        fresh = self._rejections.fresh()
        seen = {edge: at for edge, at in self._intake.seen.items() if self._seen.get(edge) != at}
        with self._database.write() as connection:
            self._lease.extend(connection)
            store.add_rejections(connection, fresh)
            store.save_pulse(connection, self._pulse())
            device_store.set_seen(connection, seen)
        self._rejections.flushed(fresh)
        self._seen.update(seen)

    def _pulse(self) -> WorkerPulse:
        connected = self._is_connected()
        return WorkerPulse(
            name=f"{self._lease.first}-{self._lease.last}",
            owner=self._lease.owner,
            started_at=self._started_at,
            beat_at=self._clock.now_ms(),
            last_message_at=max(self._intake.seen.values(), default=None),
            messages=self._intake.messages,
            readings=self._intake.readings,
            is_connected=connected,
            problem=self._cycle.problem
            or self._writer.problem
            or ("" if connected else "broker away"),
        )

    def _look(self) -> None:
        self._cycle.refresh_if_imported()
        self._look_further()

    def _hear_claims(self) -> None:
        """Ask edges that name devices of one that is gone for their birth: by now they may have them."""
        border = self._clock.now_ms() - TAKEOVER_MS
        with self._database.read() as connection:
            claimants = device_store.claimants(connection, border)
        for edge in claimants:
            if self._lease.first <= shard_of(edge) <= self._lease.last:
                self._outbox.rebirth(edge)

    def _sweep(self) -> None:
        now = self._clock.now_ms()
        with self._database.write() as connection:
            journal.forget_before(connection, now - self._journal_days * DAY_MS)
            command_store.expire(connection, now)
