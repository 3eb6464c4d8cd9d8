"""The hash chain of an alert's history: a line changed, removed or put in afterwards is seen. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cloud.alerts.alert import Note


@dataclass(frozen=True, slots=True)
class Link:
    """A line of history in its chain; `number` counts from 1."""

    number: int
    note: Note
    previous: str
    digest: str


def link(alert_id: str, number: int, previous: str, note: Note) -> Link:
    """Chain a line to the one before; `previous` is empty for the first."""
    text = json.dumps(
        [alert_id, number, previous, note.at, note.who, note.what, note.why, note.state],
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    return Link(number, note, previous, sha256(text.encode()).hexdigest())


def broken_at(alert_id: str, links: Sequence[Link], count: int, head: str) -> int | None:
    """Check a chain against its length and head, which stand on the alert.

    Returns:
        The number of the first line that does not fit, None when the chain is whole.
    """
    previous = ""
    for number, found in enumerate(links, 1):
        right = link(alert_id, number, previous, found.note)
        if (found.number, found.previous, found.digest) != (number, previous, right.digest):
            return number
        previous = found.digest
    return None if (len(links), previous) == (count, head) else len(links) + 1
