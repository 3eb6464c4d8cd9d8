"""One message after the other: judged, deduplicated, and turned into work for the next commit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from cloud.alerts.model import AlarmFact, EventFact
from cloud.devices.directory import Directory
from cloud.ingest import codec, facts
from cloud.ingest.aliases import AliasBook, AliasTable, ModelKey
from cloud.ingest.codec import Refusal
from cloud.ingest.lanes import LaneBook, LaneKey, Verdict
from cloud.ingest.model import NEWEST_MS, OLDEST_MS, Reason
from cloud.ingest.outbox import Outbox
from cloud.ingest.presence import Presence, Turn
from cloud.ingest.rejections import RejectionLog
from cloud.ingest.writes import LinkWrite, ReplyWrite, SelfTestWrite, TurnWrite
from cloud.kit.clock import Clock
from cloud.kit.mqtt import Arrival
from cloud.kit.sql import Connection
from cloud.series.model import Row
from contract.codec import (
    ContractError,
    decode_alarm,
    decode_birth,
    decode_data,
    decode_event,
    decode_reply,
    decode_state,
)
from contract.ids import is_name
from contract.messages import Birth, DataBatch, Lane, Reply, State
from contract.topics import Address, Channel, parse_topic

_log = structlog.get_logger(__name__)

TOPICS_KEPT: Final = 50_000
LANES: Final = {
    Channel.DATA: Lane.DATA,
    Channel.BACKFILL: Lane.BACKFILL,
    Channel.ALARM: Lane.ALARM,
    Channel.EVENT: Lane.EVENT,
}
Write = Callable[[Connection], None]


@dataclass(slots=True)
class Urgent:
    """What the next transaction of the application database holds beside the alerts."""

    facts: list[AlarmFact | EventFact | Turn] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    births: list[tuple[str, Birth, int]] = field(default_factory=list)
    lanes: set[LaneKey] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.facts or self.writes or self.births or self.lanes)


@dataclass(slots=True)
class Bulk:
    """What the next transaction of the series database holds."""

    rows: list[Row] = field(default_factory=list)
    lanes: set[LaneKey] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rows or self.lanes)


class Intake:
    """Turns arrivals into `urgent` and `bulk`, which the cycle takes and replaces."""

    def __init__(
        self,
        *,
        shards: tuple[int, int],
        directory: Directory,
        aliases: AliasBook,
        rejections: RejectionLog,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._shards = range(shards[0], shards[1] + 1)
        self._directory = directory
        self._aliases = aliases
        self._rejections = rejections
        self._outbox = outbox
        self._clock = clock
        self._topics: dict[str, Address] = {}
        self._unreadable = facts.UnreadableAlarms()
        self.book = LaneBook()
        self.presence = Presence()
        self.seen: dict[str, int] = {}
        self.again: set[LaneKey] = set()
        self.urgent = Urgent()
        self.bulk = Bulk()
        self.live_rows: list[Row] = []
        self.late_rows: list[Row] = []
        self.messages = 0
        self.readings = 0

    def take(self, arrival: Arrival) -> None:
        """Work on one message; whatever it holds, this returns."""
        self.messages += 1
        try:
            self._take(arrival)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop the others
            _log.error("message breaks ingest", topic=arrival.topic[:200], exc_info=error)
            self._rejections.count("(cloud)", Reason.UNSTORABLE, f"{arrival.topic[:80]}: {error}")
            address = self._topics.get(arrival.topic)
            if address is not None:
                self._unread(address.edge, address.channel, arrival.received_at)

    def _take(self, arrival: Arrival) -> None:
        address = self._topics.get(arrival.topic) or self._address(arrival)
        if address is None:
            return
        edge, channel = address.edge, address.channel
        self.seen[edge] = arrival.received_at
        if channel is not Channel.STATE:
            at = arrival.received_at
            self._turn(self.presence.heard(edge, self._steady_ms(), at), at)
        try:
            self._dispatch(edge, channel, arrival)
        except ContractError as error:
            self._refuse(edge, channel, codec.refusal(arrival.payload, error))
            self._unread(edge, channel, arrival.received_at)

    def _unread(self, edge: str, channel: Channel, at: int) -> None:
        """Let a person know of an alarm that nobody can read: it may have been a fire."""
        fact = self._unreadable.fact(edge, at) if channel is Channel.ALARM else None
        if fact is not None:
            self.urgent.facts.append(fact)

    def _address(self, arrival: Arrival) -> Address | None:
        try:
            address = parse_topic(arrival.topic)
        except ValueError as error:
            self._refuse_topic(arrival.topic, str(error))
            return None
        if address.shard not in self._shards or address.channel not in _HANDLED:
            self._refuse_topic(arrival.topic, f"{address.channel} is not for this worker")
            return None
        if len(self._topics) >= TOPICS_KEPT:
            self._topics.clear()
        self._topics[arrival.topic] = address
        return address

    def _refuse_topic(self, topic: str, detail: str) -> None:
        parts = topic.split("/")
        sender = parts[3] if len(parts) > 3 else ""
        self._rejections.count(sender if is_name(sender) else "?", Reason.TOPIC, detail)

    def _dispatch(self, edge: str, channel: Channel, arrival: Arrival) -> None:
        payload, at = arrival.payload, arrival.received_at
        match channel:
            case Channel.DATA | Channel.BACKFILL:
                self._data(LANES[channel], edge, decode_data(payload), at)
            case Channel.ALARM:
                alarm = decode_alarm(payload)
                self._fact(edge, Lane.ALARM, alarm.epoch, alarm.seq, facts.alarm_fact(alarm, at))
            case Channel.EVENT:
                event = decode_event(payload)
                self._fact(edge, Lane.EVENT, event.epoch, event.seq, facts.event_fact(event, at))
            case Channel.BIRTH:
                self._birth(edge, decode_birth(payload), at)
            case Channel.REPLY:
                self._reply(edge, decode_reply(payload), at)
            case Channel.STATE:
                self._state(edge, decode_state(payload), at)
            case _:
                raise ContractError(f"{channel} is not for the cloud")

    def _refuse(self, edge: str, channel: Channel, refusal: Refusal) -> None:
        """Count a refusal; with a place in a lane it is used up, so that the lane does not stall."""
        lane = LANES.get(channel)
        if lane is not None and refusal.place is not None:
            key = LaneKey(edge, refusal.place.epoch, lane)
            if not self._consume(key, refusal.place.seq):
                return
        self._rejections.count(edge, refusal.reason, f"{channel}: {refusal.detail}")

    def _consume(self, key: LaneKey, seq: int) -> bool:
        """Take a place in a lane; False for a message that was taken before."""
        state = self.book.lane(key)
        if state.take(seq) is Verdict.DUPLICATE:
            self.again.add(key)
            return False
        if state.missing:
            self._rejections.count(
                key.edge, Reason.LANE_GAP, f"{key.lane}: not seen before {seq}", state.missing
            )
            state.missing = 0
        is_bulk = key.lane is Lane.DATA or key.lane is Lane.BACKFILL
        (self.bulk if is_bulk else self.urgent).lanes.add(key)
        return True

    def _data(self, lane: Lane, edge: str, batch: DataBatch, at: int) -> None:
        if not codec.is_place(batch.epoch, batch.seq):
            self._refuse(edge, Channel.DATA, Refusal(Reason.NUMBERS, "epoch or seq is too large"))
            return
        key = LaneKey(edge, batch.epoch, lane)
        model = ModelKey(edge, batch.model)
        table = self._aliases.tables.get(model)
        if table is None and not self._is_used_up(key, model, batch):
            return
        if not self._consume(key, batch.seq) or table is None:
            return
        oldest, newest = at - OLDEST_MS, at + NEWEST_MS
        series, t0 = table.series, batch.t0
        try:
            rows = [
                (measured_at, series[alias], value, quality)
                for alias, dt_ms, value, quality in batch.readings
                if oldest <= (measured_at := t0 + dt_ms) <= newest
            ]
        except KeyError:
            rows = self._known_rows(edge, table, batch, at)
        if len(rows) != len(batch.readings):
            self._count_lost(edge, table, batch, len(rows), at)
        self.readings += len(rows)
        self.bulk.rows += rows
        if lane is Lane.DATA:
            self.live_rows += rows
        else:
            self.late_rows += rows

    def take_rows(self) -> tuple[list[Row], list[Row]]:
        """Give the live and the backfilled rows since the last call, for the rules."""
        live, late = self.live_rows, self.late_rows
        self.live_rows, self.late_rows = [], []
        return live, late

    def _is_used_up(self, key: LaneKey, model: ModelKey, batch: DataBatch) -> bool:
        """Decide about data of an unknown model: asked for, and after 30 s without explanation used up."""
        if self.book.lane(key).has(batch.seq):
            return True
        if self._aliases.is_pending(model):
            return False
        now = self._steady_ms()
        if self._aliases.is_hopeless(model, now):
            self._rejections.count(
                key.edge, Reason.UNKNOWN_MODEL, f"model {model.model:08x}", len(batch.readings)
            )
            return True
        self._aliases.miss(model, now)
        self._outbox.rebirth(key.edge)
        return False

    def _known_rows(self, edge: str, table: AliasTable, batch: DataBatch, at: int) -> list[Row]:
        known = [reading for reading in batch.readings if reading[0] in table.series]
        strange = [reading[0] for reading in batch.readings if reading[0] not in table.series]
        foreign = [alias for alias in strange if alias in table.foreign]
        if foreign:
            detail = f"alias {foreign[0]} is a device of another edge"
            self._rejections.count(edge, Reason.FOREIGN_DEVICE, detail, len(foreign))
        if len(strange) > len(foreign):
            unknown = next(alias for alias in strange if alias not in table.foreign)
            self._rejections.count(
                edge, Reason.UNKNOWN_ALIAS, f"alias {unknown}", len(strange) - len(foreign)
            )
        return [
            (batch.t0 + dt_ms, table.series[alias], value, quality)
            for alias, dt_ms, value, quality in known
            if facts.is_possible(batch.t0 + dt_ms, at)
        ]

    def _count_lost(
        self, edge: str, table: AliasTable, batch: DataBatch, kept: int, at: int
    ) -> None:
        known = sum(reading[0] in table.series for reading in batch.readings)
        if known > kept:
            detail = f"t0 {batch.t0} is {(batch.t0 - at) / 1_000:.0f} s from our time"
            self._rejections.count(edge, Reason.IMPOSSIBLE_TIME, detail, known - kept)

    def _fact(
        self, edge: str, lane: Lane, epoch: int, seq: int, fact: AlarmFact | EventFact
    ) -> None:
        if not codec.is_place(epoch, seq):
            self._rejections.count(edge, Reason.NUMBERS, f"{lane}: epoch or seq is too large")
            self._unread(edge, Channel(f"up/{lane.value}"), fact.received_at)
            return
        if not self._consume(LaneKey(edge, epoch, lane), seq):
            return
        device = self._directory.devices.get(fact.device)
        if device is not None and device.edge != edge:
            detail = f"{lane}: {fact.device} belongs to {device.edge}"
            self._rejections.count(edge, Reason.FOREIGN_DEVICE, detail)
            if not isinstance(fact, AlarmFact):
                return
            # A box that was exchanged speaks under a new name: its fires must not wait for anybody's list.
            fact = facts.reported(fact, edge)
        if facts.UNTRUSTED in fact.detail:
            self._rejections.count(edge, Reason.IMPOSSIBLE_TIME, f"{lane}: kept, time of arrival")
        self.urgent.facts.append(fact)
        if isinstance(fact, EventFact):
            self._event(fact)

    def _event(self, fact: EventFact) -> None:
        match fact.kind:
            case "link_up" | "link_down":
                self.urgent.writes.append(LinkWrite(fact))
            case "self_test":
                self.urgent.writes.append(SelfTestWrite(fact))
            case _:
                return

    def _birth(self, edge: str, birth: Birth, at: int) -> None:
        fault = facts.birth_fault(birth)
        if fault:
            self._rejections.count(edge, Reason.BIRTH_CONTENT, fault)
            return
        self._aliases.birth_came(edge)
        self.urgent.births.append((edge, birth, at))

    def _reply(self, edge: str, reply: Reply, at: int) -> None:
        if self._outbox.is_own(reply.id):
            return
        self.urgent.writes.append(ReplyWrite(edge, reply, at, self._rejections))

    def _state(self, edge: str, state: State, at: int) -> None:
        turn = self.presence.state(edge, state, self._steady_ms(), at)
        self._turn(turn, at)
        if turn is not None and not turn.is_online:
            # An edge that came back by another connection answers, and the will is taken back.
            self._outbox.ping(edge)

    def _turn(self, turn: Turn | None, at: int) -> None:
        if turn is not None:
            self.urgent.facts.append(turn)
            self.urgent.writes.append(TurnWrite(turn, at))

    def turn(self, turn: Turn, at: int) -> None:
        """Note that the clock, not a message, decided that an edge went; `at` in Unix ms."""
        self._turn(turn, at)

    def _steady_ms(self) -> int:
        return int(self._clock.monotonic_s() * 1_000)


_HANDLED: Final = frozenset({*LANES, Channel.BIRTH, Channel.REPLY, Channel.STATE})
