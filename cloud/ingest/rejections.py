"""Refusals counted by edge and reason, logged once an hour each, handed to the database when it has time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from cloud.ingest.model import Reason, Rejection
from cloud.kit.clock import Clock

KINDS_LIMIT: Final = 1_000
QUIET_MS: Final = 3_600_000
OTHERS: Final = "(others)"
EXAMPLE_LIMIT: Final = 200

_log = structlog.get_logger(__name__)


class RejectionLog:
    """Counts since the last `flush`; bounded, whatever names a stranger invents."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fresh: dict[tuple[str, Reason], Rejection] = {}
        self._told: dict[tuple[str, Reason], int] = {}
        self.total = 0

    def count(self, edge: str, reason: Reason, detail: str, times: int = 1) -> None:
        """Note a refusal; `edge` is who the topic says sent it."""
        now = self._clock.now_ms()
        key = (edge, reason)
        if key not in self._told and len(self._told) >= KINDS_LIMIT:
            key = (OTHERS, reason)
        self.total += times
        known = self._fresh.get(key)
        example = detail[:EXAMPLE_LIMIT]
        if known is None:
            self._fresh[key] = Rejection(key[0], reason, times, now, now, example)
        else:
            self._fresh[key] = replace(
                known, count=known.count + times, last_at=now, example=example
            )
        if now - self._told.get(key, -QUIET_MS) >= QUIET_MS:
            self._told[key] = now
            _log.warning("message refused", edge=key[0], reason=reason.value, detail=example)

    def fresh(self) -> Sequence[Rejection]:
        """Give what is not yet in the database."""
        return list(self._fresh.values())

    def flushed(self, stored: Sequence[Rejection]) -> None:
        """Forget what the database has; what came meanwhile stays."""
        for rejection in stored:
            key = (rejection.edge, rejection.reason)
            known = self._fresh.get(key)
            if known is None:
                continue
            if known.count == rejection.count:
                del self._fresh[key]
            else:
                left = known.count - rejection.count
                self._fresh[key] = replace(known, count=left, first_at=known.last_at)
