"""Which edges are there: by what they say of themselves, by their will, and by silence. Pure.

A silent edge is asked before it is called gone, so a quiet night is not an outage. A will is believed at
once, and anything that arrives after it takes it back: a broker may notice a cut only after the edge
has come back by another connection. Silence is counted in steady milliseconds, which no clock
correction moves.
"""

from dataclasses import dataclass, field
from typing import Final

from contract.messages import State

ASK_AFTER_MS: Final = 10_000
ASK_EVERY_MS: Final = 5_000
SILENT_MS: Final = 30_000


@dataclass(slots=True)
class _Known:
    seen_at: int
    is_online: bool | None = None
    gone_after: int = 0
    asked_at: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """An edge came or went."""

    edge: str
    is_online: bool


@dataclass(slots=True)
class Outlook:
    """What a tick found: edges that turned, and edges to ask for a sign of life."""

    turns: list[Turn] = field(default_factory=list)
    ask: list[str] = field(default_factory=list)


class Presence:
    """The edges of this worker's shards."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def restore(self, edge: str, *, is_online: bool | None, now: int) -> None:
        """Take what the database remembers; the silence counts from now."""
        self._known[edge] = _Known(now, is_online)

    def heard(self, edge: str, now: int, received_at: int) -> Turn | None:
        """Note any message of an edge; one that came after its will takes the will back.

        Args:
            edge: who sent it.
            now: steady ms.
            received_at: Unix ms of its arrival; readings may be worked on later than a will that
                arrived after them.
        """
        known = self._known.get(edge)
        if known is None:
            known = self._known[edge] = _Known(now)
        elif received_at <= known.gone_after:
            return None
        known.seen_at, known.asked_at = now, 0
        if known.is_online is True:
            return None
        known.is_online, known.gone_after = True, 0
        return Turn(edge, is_online=True)

    def state(self, edge: str, state: State, now: int, received_at: int) -> Turn | None:
        """Note what an edge, or its will, says of its connection."""
        if state.online:
            known = self._known.get(edge)
            if known is not None:
                known.gone_after = 0
            return self.heard(edge, now, received_at)
        known = self._known.setdefault(edge, _Known(now))
        known.gone_after = received_at
        if known.is_online is False:
            return None
        known.is_online = False
        return Turn(edge, is_online=False)

    def tick(self, now: int) -> Outlook:
        """Find who is silent for too long; called each second."""
        found = Outlook()
        for edge, known in self._known.items():
            if known.is_online is False:
                continue
            silence = now - known.seen_at
            if silence >= SILENT_MS:
                known.is_online = False
                found.turns.append(Turn(edge, is_online=False))
            elif silence >= ASK_AFTER_MS and now - known.asked_at >= ASK_EVERY_MS:
                known.asked_at = now
                found.ask.append(edge)
        return found

    def hold(self, now: int) -> None:
        """Begin all silences anew: it was we who could not hear."""
        for known in self._known.values():
            known.seen_at = now
