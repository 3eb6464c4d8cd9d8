"""What people check afterwards on what is stored: rules replayed over readings, histories that nobody rewrote."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cloud.alerts import ruleset
from cloud.alerts.alert import Alert
from cloud.alerts.model import ReadingFact
from cloud.alerts.replay import replay
from cloud.alerts.service import AlertService
from cloud.devices.directory import Directory
from cloud.kit.sql import Database
from cloud.series.model import SeriesKey, SeriesReads
from cloud.settings import CloudSettings

DAY_MS: Final = 86_400_000
_PAGE: Final = 2_000
_ALERTS_PAGE: Final = 1_000
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class HistoryCheck:
    """How many histories were looked at, and the alerts whose history was changed afterwards."""

    checked: int
    broken: tuple[str, ...]


def would_have_raised(
    settings: CloudSettings,
    database: Database,
    series: SeriesReads,
    *,
    start: int,
    end: int,
    progress: Progress,
) -> list[Alert]:
    """Replay stored readings through the present rules, with the code that judges live; nothing is changed.

    Args:
        settings: name the folder of the rules.
        database: knows devices and places.
        series: the readings.
        start: Unix ms.
        end: Unix ms, after the last reading.
        progress: told the measuring time that was reached, Unix ms, once a simulated hour.

    Raises:
        ConfigError: a rule is mistaken.
    """
    rules = ruleset.load(settings.rules)
    directory = Directory()
    with database.read() as connection:
        directory.refresh(connection)
    streams = [_readings(series, number, key, start, end) for number, key in series.keys().items()]
    facts = heapq.merge(*streams, key=lambda fact: fact.received_at)
    return replay(rules, _watched(facts, progress), directory, until=end)


def _readings(
    series: SeriesReads, number: int, key: SeriesKey, start: int, end: int
) -> Iterator[ReadingFact]:
    while points := series.raw(number, start, end, _PAGE):
        for point in points:
            yield ReadingFact(
                key.device, key.metric, point.value, point.quality, point.measured_at, point.measured_at
            )  # fmt: skip
        start = points[-1].measured_at + 1
        if len(points) < _PAGE:
            return


def _watched(facts: Iterator[ReadingFact], progress: Progress) -> Iterator[ReadingFact]:
    told = 0
    for fact in facts:
        if fact.received_at - told >= 3_600_000:
            told = fact.received_at
            progress(told)
        yield fact


def check_histories(alerts: AlertService, progress: Progress) -> HistoryCheck:
    """Check the hash chain of every alert; `progress` is told how many are done."""
    checked = 0
    broken: list[str] = []
    before: str | None = None
    while True:
        page = alerts.list(state="all", before=before, limit=_ALERTS_PAGE, with_suppressed=True)
        broken += [item.id for item in page.alerts if not alerts.history(item.id).is_whole]
        checked += len(page.alerts)
        progress(checked)
        before = page.next
        if before is None:
            return HistoryCheck(checked, tuple(broken))
