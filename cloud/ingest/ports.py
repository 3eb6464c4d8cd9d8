"""What ingest needs of others: who decides about alerts, and where messages go out."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cloud.alerts.model import AlarmFact, EventFact
from cloud.kit.sql import Connection
from cloud.series.model import Row, SeriesKey


class Keeper(Protocol):
    """The one writer of alert conditions; ingest calls it from one thread only."""

    @property
    def has_changes(self) -> bool:
        """Tell whether `save` has anything to write."""
        ...

    def load(self) -> None:
        """Take the state of the database; what was fed since the last `save` is forgotten."""
        ...

    def watch(
        self, series: Mapping[int, SeriesKey], newest: Mapping[int, int] | None = None
    ) -> None:
        """Learn which series there are, and when their newest stored values were measured (Unix ms)."""
        ...

    def feed_readings(
        self, rows: Sequence[Row], received_at: int, *, is_backfill: bool = False
    ) -> None:
        """Evaluate readings; `received_at` in Unix ms."""
        ...

    def feed_deafness(self) -> None:
        """Learn that for a while nothing could be heard: every silence counts anew."""
        ...

    def feed_alarm(self, fact: AlarmFact) -> None:
        """Evaluate a device's alarm."""
        ...

    def feed_event(self, fact: EventFact) -> None:
        """Evaluate a device's event."""
        ...

    def feed_edge(self, edge: str, online: bool, at: int) -> None:  # noqa: FBT001 - the keeper's own signature
        """Learn that an edge came or went at `at`, Unix ms."""
        ...

    def tick(self, now_ms: int) -> None:
        """Let time alone change what it changes."""
        ...

    def save(self, connection: Connection, now_ms: int) -> None:
        """Write every change since the last `save` into the caller's transaction."""
        ...


class Publisher(Protocol):
    """Who can send a message to the broker."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Send, or tell that it is not possible just now."""
        ...

    def publish_all(self, messages: Sequence[tuple[str, bytes]]) -> bool:
        """Send many (topic, payload) without assurance at once, or tell that it is not possible just now."""
        ...
