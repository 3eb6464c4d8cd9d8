"""The one writer of alert conditions: lives in the ingest worker, fed by it, saved in its transactions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from cloud.alerts import handling, ruleset, store
from cloud.alerts.alert import note_of
from cloud.alerts.engine import Engine
from cloud.alerts.ledger import Ledger
from cloud.alerts.model import (
    SYSTEM,
    AlarmFact,
    DeviceDirectory,
    EventFact,
    Instant,
    ReadingFact,
    Suppression,
    Transition,
    What,
)
from cloud.alerts.ownership import Ownership
from cloud.alerts.rule import Rule
from cloud.alerts.settle import Scene, settle
from cloud.kit.clock import Clock
from cloud.kit.sql import Connection, Database
from contract.config_text import ConfigError, Mistake

log = structlog.get_logger(__name__)
Row = tuple[int, int, float | None, int]
JUMP_MS: Final = 5_000


class SeriesName(Protocol):
    """Which number of which device a series holds."""

    @property
    def device(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def metric(self) -> str: ...  # noqa: D102 - the class says it


class AlertKeeper:
    """Evaluates facts by the rules and keeps what came of it until the next `save`.

    Not thread-safe: one worker owns it.

    Args:
        database: where conditions and alerts stand; read by `load`, written only by `save`.
        rules: the rules in force; `use_rules` and `reload` change them.
        directory: who knows devices and places.
        clock: for silence and delays, which must not follow a clock that jumps.
        ownership: which conditions are this worker's; all, unless said.
    """

    def __init__(
        self,
        *,
        database: Database,
        rules: Sequence[Rule],
        directory: DeviceDirectory,
        clock: Clock,
        ownership: Ownership | None = None,
    ) -> None:
        self._ownership = ownership
        self._database = database
        self._directory = directory
        self._clock = clock
        self._rules = tuple(rules)
        self._series: dict[int, tuple[str, str]] = {}
        self._series_of: dict[str, list[int]] = {}
        self._bands: dict[int, tuple[float, float]] = {}
        self._touched: dict[int, Row] = {}
        self._newest: dict[int, int] = {}
        self._pending: list[Transition] = []
        self._lapsed = False
        self._edited: set[str] = set()
        self._orphans: set[str] = set()
        self.mistakes: tuple[Mistake, ...] = ()
        self._start()

    def _start(self) -> None:
        self._offset = self._clock.now_ms() - round(self._clock.monotonic_s() * 1000)
        self._engine = Engine(self._rules, self._directory, self._instant(self._clock.now_ms()))
        if self._ownership is not None:
            self._engine.own(self._ownership)

    def _instant(self, wall: int) -> Instant:
        return Instant(self._offset + round(self._clock.monotonic_s() * 1000), wall)

    @property
    def has_changes(self) -> bool:
        """Tell whether `save` has anything to write."""
        return bool(
            self._pending
            or self._engine.register.dirty
            or self._lapsed
            or self._edited
            or self._orphans
        )

    # --- beginning -------------------------------------------------------------------------------

    def load(self) -> None:
        """Take the state of the database; what was fed since the last `save` is forgotten."""
        self._pending.clear()
        self._touched.clear()
        self._newest.clear()
        self._lapsed = False
        self._edited.clear()
        self._start()
        with self._database.read() as connection:
            stored = store.load_conditions(connection)
            conditions = [found.condition for found in stored if self._owns(found)]
            open_rules = store.open_rules(connection)
        known = {rule.id: rule for rule in self._rules}
        self._orphans = (open_rules | {c.rule for c in conditions}) - known.keys()
        kept = [condition for condition in conditions if condition.rule in known]
        self._edited = {c.rule for c in kept if c.fingerprint != known[c.rule].fingerprint}
        self._engine.restore(kept)
        self.watch({})

    def _owns(self, stored: store.Stored) -> bool:
        return self._ownership is None or self._ownership.condition(*stored)

    def _rehome(self, now: Instant) -> None:
        """Let go of what another worker owns by now, and take over what has become ours."""
        owned = self._ownership
        if owned is None or owned.is_whole:
            return
        register = self._engine.register
        for condition in list(register.conditions.values()):
            if condition.key not in register.dirty and not owned.condition(condition, owned.first):
                self._engine.hand_over(condition, now)
        with self._database.read() as connection:
            stored = store.load_conditions(connection)
        here = register.conditions.keys() | register.dirty
        rules = {rule.id for rule in self._rules}
        gained = [
            found.condition
            for found in stored
            if found.condition.key not in here
            and found.condition.rule in rules
            and self._owns(found)
        ]
        dirty = set(register.dirty)
        self._engine.restore(gained)
        register.dirty |= dirty

    def _hear_others(self, now: Instant) -> None:
        """Count in our buildings what devices of other workers say; a second late, and never missed."""
        owned, counted = self._ownership, self._engine.counted
        if owned is None or owned.is_whole or not counted:
            return
        with self._database.read() as connection:
            stored = store.load_conditions(connection, active_of=counted)
        others = [found.condition for found in stored if not self._owns(found)]
        self._pending += self._engine.others(others, owned.subject, now)

    def watch(
        self,
        series: Mapping[int, SeriesName],
        newest: Mapping[int, int] | None = None,
    ) -> None:
        """Learn which series there are; call it again when devices or series change.

        Args:
            series: the name of each series id.
            newest: event time of the newest stored value of a series, Unix ms, so that after a restart an
                overtaken value is still known as one.
        """
        for series_id, key in series.items():
            self._series[series_id] = (key.device, key.metric)
        self._series_of.clear()
        for series_id, (device, _) in self._series.items():
            self._series_of.setdefault(device, []).append(series_id)
        now = self._instant(self._clock.now_ms())
        self._rehome(now)
        owned = self._ownership
        own = [device for device in self._series_of if owned is None or owned.subject(device)]
        self._engine.know(own, now)
        for series_id, at in (newest or {}).items():
            self._newest[series_id] = max(at, self._newest.get(series_id, 0))
        self._compile(self._series_of)

    def _compile(self, devices: Iterable[str]) -> None:
        for device in devices:
            for series_id in self._series_of.get(device, ()):
                self._bands[series_id] = self._engine.quiet(device, self._series[series_id][1])

    # --- rules -----------------------------------------------------------------------------------

    def reload(self, folder: Path) -> bool:
        """Read the rules anew; a bad file keeps the old set, `mistakes` and the log say what is wrong."""
        try:
            rules = ruleset.load(folder)
        except ConfigError as error:
            if error.mistakes != self.mistakes:
                told = [str(mistake) for mistake in error.mistakes]
                log.warning("alert rules not usable, the old ones stay", mistakes=told)
            self.mistakes = error.mistakes
            return False
        self.mistakes = ()
        self.use_rules(rules)
        return True

    def use_rules(self, rules: Sequence[Rule]) -> None:
        """Put rules in force: what did not change stays, alerts of removed rules are closed with reason."""
        self._rules = tuple(rules)
        change = self._engine.change_rules(self._rules, self._instant(self._clock.now_ms()))
        self._edited |= change.edited
        self._orphans = (self._orphans | change.removed) - {rule.id for rule in rules}
        self._compile(self._series_of)

    # --- facts -----------------------------------------------------------------------------------

    def feed_readings(
        self, rows: Sequence[Row], received_at: int, *, is_backfill: bool = False
    ) -> None:
        """Evaluate readings (measured_at, series, value, quality); quick for a value in its quiet band.

        Args:
            rows: in the order of arrival.
            received_at: Unix ms.
            is_backfill: they come from a backlog and are no sign of life.
        """
        bands = self._bands
        touched = self._touched
        for row in rows:
            _, series, value, quality = row
            try:
                low, high = bands[series]
                is_quiet = low < value < high and not quality  # type: ignore[operator]  # caught below
            except (
                KeyError,
                TypeError,
            ):  # no band, or no value; asking first costs as much as the rest
                is_quiet = False
            if is_quiet:
                touched[series] = row
            else:
                self._judge(row, received_at, is_backfill=is_backfill)
        if is_backfill:
            touched.clear()

    def _judge(self, row: Row, received_at: int, *, is_backfill: bool) -> None:
        measured_at, series, value, quality = row
        named = self._series.get(series)
        if named is None:
            return
        device, metric = named
        seen = self._touched.get(series)
        newest = max(self._newest.get(series, 0), seen[0] if seen is not None else 0)
        fact = ReadingFact(
            device,
            metric,
            value,
            quality,
            measured_at,
            received_at,
            is_backfill=is_backfill,
            is_overtaken=measured_at <= newest,
        )
        now = self._instant(received_at)
        self._pending += self._engine.reading(fact, now)
        if not is_backfill:
            self._pending += self._engine.heard(device, measured_at, now)
        self._compile((device,))

    def feed_alarm(self, fact: AlarmFact) -> None:
        """Evaluate a device's alarm."""
        self._pending += self._engine.alarm(fact, self._instant(fact.received_at))
        self._compile((fact.device,))

    def feed_event(self, fact: EventFact) -> None:
        """Evaluate a device's event."""
        self._pending += self._engine.event(fact, self._instant(fact.received_at))

    def feed_edge(self, edge: str, online: bool, at: int) -> None:  # noqa: FBT001 - agreed with ingest
        """Learn that an edge node came or went; `at` Unix ms."""
        self._pending += self._engine.edge(edge, at, self._instant(at), is_online=online)

    def feed_deafness(self) -> None:
        """Learn that the worker itself heard nothing (its broker was away): every silence counts anew."""
        self._engine.hold_silence(self._instant(self._clock.now_ms()))

    def tick(self, now_ms: int) -> None:
        """Let time act; call it about once a second."""
        now = self._instant(now_ms)
        self._heard(now)
        before = len(self._pending)
        self._pending += self._engine.tick(now)
        self._hear_others(now)
        if len(self._pending) > before:
            self._compile({t.subject for t in self._pending[before:]})
        if not self._lapsed:
            with self._database.read() as connection:
                self._lapsed = bool(store.lapsed(connection, now_ms))

    def _heard(self, now: Instant) -> None:
        newest = self._newest
        for series, row in self._touched.items():
            if row[0] > newest.get(series, 0):
                newest[series] = row[0]
            device = self._series[series][0]
            self._pending += self._engine.heard(device, row[0], now)
        self._touched.clear()

    # --- saving ----------------------------------------------------------------------------------

    def save(self, connection: Connection, now_ms: int) -> None:
        """Write every change since the last `save` into the caller's transaction.

        When that transaction fails, call `load` and feed again what was not acknowledged.
        """
        ledger = Ledger(connection)
        rules = {rule.id: rule for rule in self._rules}
        settle(self._pending, ledger, Scene(rules, self._directory))
        self._settle_rules(connection, ledger, now_ms)
        for acknowledged in store.lapsed(connection, now_ms):
            alert = ledger.latest(acknowledged.key) or acknowledged
            back = handling.lapse(alert, now_ms)
            if back is not None:
                why = f"acknowledged by {alert.acknowledged_by}, no verdict in time"
                ledger.put(back, note_of(back, at=now_ms, who=SYSTEM, what="lapsed", why=why))
        for alert in ledger.flush(now_ms):
            log.info("alert changed", alert_id=alert.id, rule=alert.rule, condition=alert.condition)
        self._save_conditions(connection)
        self._pending.clear()
        self._lapsed = False
        self._edited.clear()
        self._orphans.clear()

    def _save_conditions(self, connection: Connection) -> None:
        register = self._engine.register
        found = [register.conditions.get(key) for key in sorted(register.dirty)]
        changed = [c for c in found if c is not None and not c.is_blank]
        kept = {condition.key for condition in changed}
        shard = self._ownership.first if self._ownership is not None else 0
        store.save_conditions(connection, changed, sorted(register.dirty - kept), shard)
        register.dirty.clear()

    def _settle_rules(self, connection: Connection, ledger: Ledger, now_ms: int) -> None:
        for rule_id in sorted(self._orphans):
            for alert in store.open_of_rule(connection, rule_id):
                closed = handling.close_by_rule(alert, now_ms)
                why = f"rule {rule_id} was removed"
                what = What.RULE_REMOVED.value
                ledger.put(closed, note_of(closed, at=now_ms, who=SYSTEM, what=what, why=why))
                self._free(connection, ledger, alert.id, now_ms)
            store.forget_conditions(connection, rule_id)
        for rule_id in sorted(self._edited):
            for stored in store.open_of_rule(connection, rule_id):
                if self._ownership is not None and not self._ownership.subject(stored.subject):
                    continue
                alert = ledger.latest(stored.key) or stored
                what = What.RULE_EDITED.value
                note = note_of(alert, at=now_ms, who=SYSTEM, what=what, why="the alert stays open")
                ledger.put(alert, note)

    def _free(self, connection: Connection, ledger: Ledger, holder: str, now_ms: int) -> None:
        for stored in store.held_by(connection, holder):
            alert = ledger.latest(stored.key) or stored
            free = handling.free(alert, now_ms)
            why = "what explained it is gone"
            what = What.RELEASED.value
            if free.suppression is Suppression.NONE and alert.is_open:
                ledger.put(free, note_of(free, at=now_ms, who=SYSTEM, what=what, why=why))
