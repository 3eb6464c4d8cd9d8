"""Which conditions a worker owns: those of its edges' devices, and of the buildings whose first edge is its own. Pure.

Every worker of a district asks the same registry, so each condition has one owner without anybody talking.
"""

from typing import Protocol

from cloud.alerts.model import Condition, DeviceInfo, reporter_of
from contract.topics import SHARDS, shard_of


class Registry(Protocol):
    """Who knows which edge node a device or a building belongs to."""

    def device(self, device_id: str) -> DeviceInfo | None:
        """Give a device or edge node, None when it is not registered."""
        ...

    def first_edge(self, place: str) -> str:
        """Give the first, by id, of the edge nodes with devices in the building of a place; empty when none has."""
        ...


class Ownership:
    """The shards `first` to `last`, and what that makes a worker's own."""

    def __init__(self, registry: Registry, first: int, last: int) -> None:
        self._registry = registry
        self.first = first
        self._shards = range(first, last + 1)
        self.is_whole = len(self._shards) == SHARDS
        self.name = "" if self.is_whole else f"{first:02x}-{last:02x}"

    def edge(self, edge: str) -> bool:
        """Tell whether an edge node is ours."""
        return self.is_whole or shard_of(edge) in self._shards

    def place(self, place: str) -> bool:
        """Tell whether combinations in a place are ours."""
        return self.is_whole or self.edge(self._registry.first_edge(place) or place)

    def subject(self, subject: str, shard: int | None = None) -> bool:
        """Tell whether a device, an edge node or a place is ours; `shard` is who stored what nobody has registered."""
        if self.is_whole:
            return True
        device = self._registry.device(subject)
        edge = device.edge if device is not None else self._registry.first_edge(subject)
        if edge:
            return self.edge(edge)
        return (shard_of(subject) if shard is None else shard) in self._shards

    def condition(self, condition: Condition, shard: int | None) -> bool:
        """Tell whether a stored condition is ours; what a strange edge says belongs to that edge's worker."""
        reporter = reporter_of(condition.zone)
        return self.edge(reporter) if reporter else self.subject(condition.subject, shard)
