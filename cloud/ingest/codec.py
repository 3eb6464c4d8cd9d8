"""Payloads to structures, every failure with its reason and, where it can be read, its place in the lane. Pure."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from cloud.ingest.lanes import COUNT_LIMIT
from cloud.ingest.model import Reason
from contract.codec import MESSAGE_LIMIT, ContractError

_UINTS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXARRAY: Final = 0x90
_ARRAY16: Final = 0xDC
_ARRAY32: Final = 0xDD


class Place(NamedTuple):
    """Where in its lane a message stands."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that cannot be used; with a place it is counted as consumed, so that its lane goes on."""

    reason: Reason
    detail: str
    place: Place | None = None


def peek(payload: bytes) -> Place | None:
    """Read epoch and seq from the head of a message whose body may be anything.

    Returns:
        The place, or None when the head is no array of two sensible numbers.
    """
    if not payload:
        return None
    first = payload[0]
    if first & 0xF0 == _FIXARRAY and first & 0x0F >= 2:
        at = 1
    elif first in (_ARRAY16, _ARRAY32):
        at = 3 if first == _ARRAY16 else 5
    else:
        return None
    epoch, at = _uint(payload, at)
    seq, at = _uint(payload, at)
    return Place(epoch, seq) if is_place(epoch, seq) else None


def is_place(epoch: int, seq: int) -> bool:
    """Tell whether the numbers fit what databases and JSON carry exactly (below 2**53)."""
    return 0 <= epoch < COUNT_LIMIT and 1 <= seq < COUNT_LIMIT


def _uint(payload: bytes, at: int) -> tuple[int, int]:
    if at < 0 or at >= len(payload):
        return -1, -1
    first = payload[at]
    if first < 0x80:
        return first, at + 1
    size = _UINTS.get(first)
    if size is None or at + 1 + size > len(payload):
        return -1, -1
    return int.from_bytes(payload[at + 1 : at + 1 + size], "big"), at + 1 + size


def refusal(payload: bytes, error: ContractError) -> Refusal:
    """Turn a decoding failure into a refusal that keeps its lane moving where possible."""
    reason = Reason.OVERSIZE if len(payload) > MESSAGE_LIMIT else Reason.MALFORMED
    return Refusal(reason, str(error)[:200], peek(payload))
