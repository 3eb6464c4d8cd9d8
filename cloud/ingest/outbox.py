"""What goes down to edges: acknowledgements, questions, and the commands people gave, until they are answered."""

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
import structlog

from cloud.ingest import command_store
from cloud.ingest.lanes import LaneKey
from cloud.ingest.model import QueuedCommand
from cloud.ingest.ports import Publisher
from cloud.kit.clock import Clock
from cloud.kit.sql import Database
from contract.codec import encode
from contract.ids import uuid7
from contract.messages import Ack, Command, Detail
from contract.topics import SHARDS, Channel, shard_of, topic

REBIRTH_EVERY_MS: Final = 5_000
RESEND_MS: Final = 5_000
QUESTION_LIFE_MS: Final = 30_000
OWN_KEPT: Final = 2_000
BATCH: Final = 200
FETCHED: Final = 2_000
TOPICS_KEPT: Final = 10_000

_log = structlog.get_logger(__name__)


@lru_cache(TOPICS_KEPT)
def _ack_topic(edge: str) -> str:
    return topic(edge, Channel.ACK)


class Outbox:
    """Publishes to edges; nothing here is lost by being dropped, everything is repeated or asked again."""

    def __init__(
        self, publisher: Publisher, clock: Clock, shards: tuple[int, int] = (0, SHARDS - 1)
    ) -> None:
        self._shards = range(shards[0], shards[1] + 1)
        self._publisher = publisher
        self._clock = clock
        self._own: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[str, int] = {}
        self._sent: dict[str, int] = {}

    def ack(self, marks: Iterable[tuple[LaneKey, int]]) -> None:
        """Tell edges up to where everything of their lanes is stored."""
        acks = [
            (_ack_topic(key.edge), encode(Ack(key.epoch, key.lane, high))) for key, high in marks
        ]
        if acks:
            self._publisher.publish_all(acks)

    def rebirth(self, edge: str) -> None:
        """Ask an edge for its birth, at most every 5 s."""
        now = self._steady_ms()
        if now - self._asked.get(edge, -REBIRTH_EVERY_MS) >= REBIRTH_EVERY_MS:
            self._asked[edge] = now
            self._ask(edge, "rebirth")

    def ping(self, edge: str) -> None:
        """Ask a silent edge for a sign of life."""
        self._ask(edge, "ping")

    def is_own(self, command_id: str) -> bool:
        """Tell whether a reply answers one of our own questions, which no table holds."""
        return self._own.pop(command_id, self) is None

    def send_waiting(self, database: Database) -> None:
        """Send the commands that have no answer yet, each again after 5 s; give up on late ones."""
        now = self._clock.now_ms()
        with database.read() as connection:
            found = command_store.waiting(connection, FETCHED)
        waiting = [command for command in found if shard_of(command.edge) in self._shards][:BATCH]
        late = [command for command in waiting if command.expires <= now]
        if late:
            with database.write() as connection:
                command_store.expire(connection, now)
        steady = self._steady_ms()
        sent = {}
        for command in waiting:
            if command.expires <= now:
                continue
            last = self._sent.get(command.id)
            if last is not None and steady - last < RESEND_MS:
                sent[command.id] = last
            elif self._publish(command):
                sent[command.id] = steady
        self._sent = sent

    def _publish(self, command: QueuedCommand) -> bool:
        args: Detail = msgspec.json.decode(command.args)
        message = Command(
            id=command.id, op=command.op, args=args,
            issued_at=command.issued_at, expires=command.expires,
        )  # fmt: skip
        return self._publisher.publish(topic(command.edge, Channel.COMMAND), encode(message), qos=1)

    def _ask(self, edge: str, op: str) -> None:
        now = self._clock.now_ms()
        command_id = uuid7(now, secrets.token_bytes(10))
        self._own[command_id] = None
        while len(self._own) > OWN_KEPT:
            self._own.popitem(last=False)
        question = Command(id=command_id, op=op, issued_at=now, expires=now + QUESTION_LIFE_MS)
        self._publisher.publish(topic(edge, Channel.COMMAND), encode(question), qos=1)

    def _steady_ms(self) -> int:
        return int(self._clock.monotonic_s() * 1_000)
