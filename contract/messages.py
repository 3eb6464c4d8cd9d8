"""The structures of the contract, encoded as MessagePack (state: JSON). Times are Unix milliseconds, UTC.

A lane is one ordered sequence of messages: alarms, events, live readings and backfill each count their
own `seq` from 1, so that an alarm may overtake a day of backlog and an acknowledgement still says
"committed through N".
"""

from enum import IntEnum, StrEnum

import msgspec

Detail = dict[str, str | int | float | bool | None]


class Lane(StrEnum):
    """One ordered sequence of messages of one edge node."""

    ALARM = "alarm"
    EVENT = "event"
    DATA = "data"
    BACKFILL = "backfill"


class Quality(IntEnum):
    """How far a value can be trusted; the value of a sensor fault is null."""

    OK = 0
    STALE = 1
    OUT_OF_RANGE = 2
    SENSOR_FAULT = 3
    CLOCK_UNTRUSTED = 4


class DataBatch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Readings of one edge node: `up/data` and `up/backfill`.

    `readings` rows are (alias, milliseconds after `t0`, value or null, quality); aliases are those of the
    birth whose hash is `model`.
    """

    epoch: int
    seq: int
    t0: int
    model: int
    readings: list[tuple[int, int, float | None, int]]


class Alarm(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One alarm bit of a device going on or off: `up/alarm`.

    Attributes:
        alarm_id: UUIDv7 made at the edge; the same alarm sent twice carries the same id.
        kind: `fire`, `gas`, `fault`, `supervisory`, `shielded`, `power_fault`, `tamper`, `low_battery`, `sos`,
            `manual_call`, `mains_fault`, `battery_fault`, `link_fault` …; one the cloud does not know is raised
            all the same.
        measured_at: when the edge received it, by the edge's clock.
        device_at: what the device's own clock said, null when it has none or it is dead.
        is_test: the device marked it as a test; never a reason to drop it.
        is_history: the device had cached it; it is not happening now.
        raw: the frame as received, at most 1,500 bytes.
    """

    epoch: int
    seq: int
    alarm_id: str
    device: str
    kind: str
    is_active: bool
    measured_at: int
    device_at: int | None = None
    is_test: bool = False
    is_history: bool = False
    detail: Detail = msgspec.field(default_factory=dict)
    raw: bytes = b""


class Event(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A device fact that is no number: `up/event` (link_up, link_down, operation, reflex, passage, press …)."""

    epoch: int
    seq: int
    event_id: str
    device: str
    kind: str
    measured_at: int
    device_at: int | None = None
    is_history: bool = False
    detail: Detail = msgspec.field(default_factory=dict)
    picture_sha256: str | None = None


class DeviceBirth(msgspec.Struct, frozen=True, kw_only=True):
    """One device as the edge's configuration describes it.

    `gateway` is the device it speaks through (a transmission device, a bus), empty when it is its own;
    `place` is the path of places, `b03/f02/r201`, empty when not placed; `period_s` is how often it is
    expected to be heard of.
    """

    id: str
    kind: str
    model: str
    name: str = ""
    place: str = ""
    gateway: str = ""
    period_s: float = 60.0


class MetricBirth(msgspec.Struct, frozen=True, kw_only=True):
    """What one alias of the data batches stands for; `low`, `high` and `resolution` in the unit of the metric."""

    alias: int
    device: str
    metric: str
    low: float | None = None
    high: float | None = None
    resolution: float | None = None


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """All that an edge node has: `up/birth`, retained, sent at each connect and on request."""

    epoch: int
    boot: int
    at: int
    software: str
    model: int
    devices: list[DeviceBirth]
    metrics: list[MetricBirth]
    config_version: int = 0


class State(msgspec.Struct, frozen=True):
    """Whether an edge node is connected: `state`, JSON, retained; the will says `online: false`."""

    online: bool
    boot: int
    at: int


class Ack(msgspec.Struct, array_like=True, frozen=True):
    """Everything of this lane up to and including `committed_through` is stored: `down/ack`."""

    epoch: int
    lane: Lane
    committed_through: int


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something the edge shall do once: `down/command`. Ops: `rebirth`, `write`, `ping`."""

    id: str
    op: str
    args: Detail = msgspec.field(default_factory=dict)
    issued_at: int
    expires: int


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: `up/reply`."""

    id: str
    ok: bool
    at: int
    message: str = ""
    result: Detail = msgspec.field(default_factory=dict)


class ConfigPush(msgspec.Struct, frozen=True, kw_only=True):
    """Desired configuration of a node: `down/config`, retained. `document` is YAML text."""

    version: int
    document: str
    sha256: str
