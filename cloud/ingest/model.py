"""The nouns of ingest: why a message is refused, and what a refusal looks like. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 86_400_000
OLDEST_MS: Final = 400 * DAY_MS
NEWEST_MS: Final = 2 * 3_600_000


class Reason(StrEnum):
    """Why a message, or one reading of it, is not taken. The texts stand in docs/ingest.md."""

    TOPIC = "topic"
    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    NUMBERS = "numbers"
    FOREIGN_DEVICE = "foreign_device"
    UNKNOWN_ALIAS = "unknown_alias"
    UNKNOWN_MODEL = "unknown_model"
    IMPOSSIBLE_TIME = "impossible_time"
    BIRTH_CONTENT = "birth_content"
    UNKNOWN_COMMAND = "unknown_command"
    LANE_GAP = "lane_gap"
    OVERLOAD = "overload"
    UNSTORABLE = "unstorable"


@dataclass(frozen=True, slots=True)
class Rejection:
    """How often one edge was refused for one reason; times in Unix ms, `example` says what was seen last."""

    edge: str
    reason: Reason
    count: int
    first_at: int
    last_at: int
    example: str


@dataclass(frozen=True, slots=True)
class WorkerPulse:
    """A sign of life of one ingest worker; times in Unix ms, null before the first message."""

    name: str
    owner: str
    started_at: int
    beat_at: int
    last_message_at: int | None
    messages: int
    readings: int
    is_connected: bool
    problem: str


@dataclass(frozen=True, slots=True)
class QueuedCommand:
    """A command on its way to an edge; `args` is JSON text."""

    id: str
    edge: str
    op: str
    args: str
    issued_at: int
    expires: int
