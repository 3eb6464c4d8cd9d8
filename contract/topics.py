"""MQTT topics of the contract: `linli/1/{shard}/{edge}/…`; the shard is crc32(edge) mod 64."""

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contract.ids import is_name

ROOT: Final = "linli/1"
SHARDS: Final = 64
_PARTS: Final = 6


class Channel(StrEnum):
    """The last part of a topic: what is said, and by which side."""

    STATE = "state"
    BIRTH = "up/birth"
    DATA = "up/data"
    BACKFILL = "up/backfill"
    ALARM = "up/alarm"
    EVENT = "up/event"
    REPLY = "up/reply"
    ACK = "down/ack"
    COMMAND = "down/command"
    CONFIG = "down/config"
    WHITELIST = "down/whitelist"


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed topic."""

    shard: int
    edge: str
    channel: Channel


def shard_of(edge: str) -> int:
    """Give the shard, 0 to 63, that owns everything this edge node says."""
    return zlib.crc32(edge.encode()) % SHARDS


def topic(edge: str, channel: Channel) -> str:
    """Build the topic on which `edge` and the cloud speak about `channel`."""
    return f"{ROOT}/{shard_of(edge):02x}/{edge}/{channel.value}"


def parse_topic(text: str) -> Address:
    """Read a topic.

    Raises:
        ValueError: it is not of the contract, names no known channel, or carries a shard that is
            not the edge's own (a message on a foreign shard would reach a worker that does not own
            it).
    """
    parts = text.split("/", 4)
    if len(parts) != _PARTS - 1 or parts[:2] != ["linli", "1"]:
        raise ValueError(f"not a topic of the contract: {text[:200]!r}")
    _, _, shard_text, edge, rest = parts
    if not is_name(edge):
        raise ValueError(f"not an edge id: {edge[:80]!r}")
    try:
        channel = Channel(rest)
    except ValueError:
        raise ValueError(f"unknown channel {rest[:80]!r}") from None
    shard = shard_of(edge)
    if shard_text != f"{shard:02x}":
        raise ValueError(f"wrong shard {shard_text[:8]!r}, {edge} belongs to {shard:02x}")
    return Address(shard, edge, channel)
