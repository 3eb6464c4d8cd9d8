"""Which edges are there: by what they say of themselves, by their will, and by silence. Pure.

A silent edge is asked before it is called gone, so a quiet night is not an outage. A will that is older
than the edge's newest connection (the broker noticed a cut after the edge had already come back) is
not believed, only asked about. All times are steady milliseconds, which no clock correction moves.
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
    by_silence: bool = False
    connected_at: int = 0
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

    def heard(self, edge: str, at: int) -> Turn | None:
        """Note any message of an edge; it ends an absence that was only silence."""
        known = self._known.get(edge)
        if known is None:
            self._known[edge] = _Known(at, is_online=True)
            return Turn(edge, is_online=True)
        known.seen_at = at
        known.asked_at = 0
        if known.is_online is True or (known.is_online is False and not known.by_silence):
            return None
        known.is_online, known.by_silence = True, False
        return Turn(edge, is_online=True)

    def state(self, edge: str, state: State, at: int) -> Turn | None:
        """Note what an edge, or its will, says of its connection."""
        known = self._known.get(edge)
        if known is None:
            known = self._known[edge] = _Known(at)
        if state.online:
            known.seen_at, known.asked_at = at, 0
            known.connected_at = max(known.connected_at, state.at)
            if known.is_online is True:
                return None
            known.is_online, known.by_silence = True, False
            return Turn(edge, is_online=True)
        if known.is_online is False:
            known.by_silence = False
            return None
        if state.at < known.connected_at:
            known.seen_at = min(known.seen_at, at - ASK_AFTER_MS)
            return None
        known.is_online, known.by_silence = False, False
        return Turn(edge, is_online=False)

    def tick(self, now: int) -> Outlook:
        """Find who is silent for too long; called each second."""
        found = Outlook()
        for edge, known in self._known.items():
            if known.is_online is False:
                continue
            silence = now - known.seen_at
            if silence >= SILENT_MS:
                known.is_online, known.by_silence = False, True
                found.turns.append(Turn(edge, is_online=False))
            elif silence >= ASK_AFTER_MS and now - known.asked_at >= ASK_EVERY_MS:
                known.asked_at = now
                found.ask.append(edge)
        return found

    def hold(self, now: int) -> None:
        """Begin all silences anew: it was we who could not hear."""
        for known in self._known.values():
            known.seen_at = now
