"""What a worker subscribes to: whole shards; alarms with an acknowledged delivery, readings without. Pure.

Delivery is confirmed end to end, so quality of service 1 buys nothing for readings but costs the broker
and us an acknowledgement a message; for the rest it keeps a busy broker from dropping them.
"""

from typing import Final

from contract.topics import ROOT, SHARDS, Channel

ASSURED: Final = (Channel.STATE, Channel.BIRTH, Channel.ALARM, Channel.EVENT, Channel.REPLY)
BULK: Final = (Channel.DATA, Channel.BACKFILL)


def subscriptions(first: int, last: int) -> list[tuple[str, int]]:
    """Give (topic filter, quality of service) of shards `first` to `last`; urgent ones first."""
    whole = first == 0 and last == SHARDS - 1
    shards = ["+"] if whole else [f"{shard:02x}" for shard in range(first, last + 1)]
    return [
        (f"{ROOT}/{shard}/+/{channel.value}", qos)
        for channels, qos in ((ASSURED, 1), (BULK, 0))
        for channel in channels
        for shard in shards
    ]
