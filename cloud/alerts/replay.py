"""Replays facts through rules: yesterday's data against tomorrow's rules, with the same code as live. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloud.alerts.alert import Alert, Note
from cloud.alerts.engine import Engine
from cloud.alerts.model import DeviceDirectory, Fact, Instant, ReadingFact
from cloud.alerts.rule import Rule
from cloud.alerts.settle import Scene, settle

SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class EdgeFact:
    """An edge node coming or going; `received_at` Unix ms."""

    edge: str
    is_online: bool
    received_at: int


class Notebook:
    """A book of alerts in memory."""

    def __init__(self) -> None:
        self._by_key: dict[str, Alert] = {}
        self.alerts: dict[str, Alert] = {}
        self.notes: list[tuple[str, Note]] = []

    def latest(self, key: str) -> Alert | None:
        """Give the newest record of a key, open or closed."""
        return self._by_key.get(key)

    def put(self, alert: Alert, note: Note | None) -> None:
        """Keep a record and the line of its history."""
        self._by_key[alert.key] = alert
        self.alerts[alert.id] = alert
        if note is not None:
            self.notes.append((alert.id, note))


def replay(
    rules: Sequence[Rule],
    facts: Iterable[Fact | EdgeFact],
    directory: DeviceDirectory,
    *,
    until: int | None = None,
) -> list[Alert]:
    """Give the alerts that these rules would have raised; nobody handles them.

    Args:
        rules: the rules to try.
        facts: in the order of `received_at`, which is also the clock of the replay.
        directory: who knows devices and places.
        until: when the replay ends, Unix ms; the last fact's time unless said.

    Returns:
        All alerts, the oldest first.
    """
    engine: Engine | None = None
    book = Notebook()
    scene = Scene({rule.id: rule for rule in rules}, directory)
    clock = 0
    known: set[str] = set()
    for fact in facts:
        if engine is None:
            clock = fact.received_at
            engine = Engine(rules, directory, Instant(clock, clock))
        clock = _run(engine, book, scene, clock, fact.received_at)
        now = Instant(clock, clock)
        if isinstance(fact, EdgeFact):
            settle(engine.edge(fact.edge, clock, now, is_online=fact.is_online), book, scene)
            continue
        if fact.device not in known and isinstance(fact, ReadingFact):
            known.add(fact.device)
            engine.know([fact.device], now)
        heard = isinstance(fact, ReadingFact) and not fact.is_backfill
        if heard:
            settle(engine.heard(fact.device, fact.measured_at, now), book, scene)
        settle(engine.feed(fact, now), book, scene)
    if engine is not None:
        _run(engine, book, scene, clock, until or clock)
    return [book.alerts[alert_id] for alert_id in sorted(book.alerts)]


def _run(engine: Engine, book: Notebook, scene: Scene, clock: int, to: int) -> int:
    """Let the replay's clock go on, second by second, as far as `to`; it never goes back."""
    while clock + SECOND_MS <= to:
        clock += SECOND_MS
        settle(engine.tick(Instant(clock, clock)), book, scene)
    return max(clock, to)
