"""What single messages write into the application database, each called within the transaction of the cycle."""

from dataclasses import dataclass

from cloud.alerts.model import EventFact
from cloud.devices import registry
from cloud.ingest import command_store
from cloud.ingest.model import Reason
from cloud.ingest.presence import Turn
from cloud.ingest.rejections import RejectionLog
from cloud.kit.sql import Connection
from contract.messages import Reply


@dataclass(frozen=True, slots=True)
class LinkWrite:
    """A device's link came or went."""

    fact: EventFact

    def __call__(self, connection: Connection) -> None:  # noqa: D102 - the class says it
        registry.apply_link(
            connection,
            self.fact.device,
            is_up=self.fact.kind == "link_up",
            measured_at=self.fact.measured_at,
            reason=str(self.fact.detail.get("reason", "")),
            at=self.fact.received_at,
        )


@dataclass(frozen=True, slots=True)
class SelfTestWrite:
    """A device tested itself."""

    fact: EventFact

    def __call__(self, connection: Connection) -> None:  # noqa: D102 - the class says it
        registry.apply_self_test(
            connection,
            self.fact.device,
            measured_at=self.fact.measured_at,
            detail=dict(self.fact.detail),
            at=self.fact.received_at,
        )


@dataclass(frozen=True, slots=True)
class TurnWrite:
    """An edge came or went."""

    turn: Turn
    at: int

    def __call__(self, connection: Connection) -> None:  # noqa: D102 - the class says it
        registry.apply_online(connection, self.turn.edge, is_online=self.turn.is_online, at=self.at)


@dataclass(frozen=True, slots=True)
class ReplyWrite:
    """An edge answered a command."""

    edge: str
    reply: Reply
    at: int
    rejections: RejectionLog

    def __call__(self, connection: Connection) -> None:  # noqa: D102 - the class says it
        if not command_store.save_reply(connection, self.edge, self.reply, self.at):
            detail = f"reply to {self.reply.id[:80]!r}, which was never asked"
            self.rejections.count(self.edge, Reason.UNKNOWN_COMMAND, detail)
