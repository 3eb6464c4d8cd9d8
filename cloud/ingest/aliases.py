"""Alias tables: from the small numbers of a data batch to series, by edge and model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from cloud.devices.model import AliasPlan
from cloud.ingest.writer import SeriesWriter
from cloud.series.model import SeriesKey

WANTED_LIMIT: Final = 1_000
GIVE_UP_MS: Final = 30_000
MODELS_KEPT: Final = 8


class ModelKey(NamedTuple):
    """One birth of one edge."""

    edge: str
    model: int


class Learning(NamedTuple):
    """A birth whose series are being registered."""

    key: ModelKey
    plan: AliasPlan


@dataclass(frozen=True, slots=True)
class AliasTable:
    """Series ids by alias; `foreign` aliases are of devices that belong to another edge."""

    series: Mapping[int, int]
    foreign: frozenset[int]


@dataclass(slots=True)
class _Wanted:
    since: int
    birth_seen: bool = False


class AliasBook:
    """What is known, what is being registered, and what was asked for."""

    def __init__(self, writer: SeriesWriter) -> None:
        self._writer = writer
        self.tables: dict[ModelKey, AliasTable] = {}
        self.keys: dict[int, SeriesKey] = {}
        self._plans: dict[ModelKey, AliasPlan] = {}
        self._wanted: dict[ModelKey, _Wanted] = {}

    def learn(self, edge: str, plan: AliasPlan) -> None:
        """Have a birth's series registered; its data is taken once `registered` was told."""
        key = ModelKey(edge, plan.model)
        self._plans[key] = plan
        wanted = [SeriesKey(device, metric) for _, device, metric in plan.metrics]
        # The plan goes along: the same birth may be accepted anew, with other devices, before this is answered.
        self._writer.register(Learning(key, plan), wanted)

    def registered(self, learning: Learning, ids: Mapping[SeriesKey, int]) -> None:
        """Make a table usable."""
        key, plan = learning
        if self._plans.get(key) is plan:
            del self._plans[key]
        series = {alias: ids[SeriesKey(device, metric)] for alias, device, metric in plan.metrics}
        self.tables[key] = AliasTable(series, frozenset(plan.foreign))
        self._forget_old(key)
        self.keys.update((number, name) for name, number in ids.items())
        self._wanted.pop(key, None)

    def _forget_old(self, newest: ModelKey) -> None:
        mine = [key for key in self.tables if key.edge == newest.edge and key != newest]
        for key in mine[: max(0, len(mine) + 1 - MODELS_KEPT)]:
            del self.tables[key]

    def birth_came(self, edge: str) -> None:
        """Note that an edge answered; what it still did not explain, it cannot explain."""
        for key, wanted in self._wanted.items():
            if key.edge == edge:
                wanted.birth_seen = True

    def is_pending(self, key: ModelKey) -> bool:
        """Tell whether a birth came and its series are being registered."""
        return key in self._plans

    def miss(self, key: ModelKey, now: int) -> None:
        """Note that data of an unknown model came; `now` in steady ms."""
        if key not in self._wanted:
            if len(self._wanted) >= WANTED_LIMIT:
                self._wanted.clear()
            self._wanted[key] = _Wanted(now)

    def is_hopeless(self, key: ModelKey, now: int) -> bool:
        """Tell whether the edge was asked for long, answered, and still nobody knows this model."""
        wanted = self._wanted.get(key)
        return wanted is not None and wanted.birth_seen and now - wanted.since >= GIVE_UP_MS
