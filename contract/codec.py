"""Bytes to structures and back, with the limits that keep a hostile message harmless."""

import math
import zlib
from typing import Final, TypeVar

import msgspec

from contract.messages import (
    Ack,
    Alarm,
    Birth,
    Command,
    ConfigPush,
    DataBatch,
    DeviceBirth,
    Event,
    MetricBirth,
    Reply,
    State,
)
from contract.topics import Channel

MESSAGE_LIMIT: Final = 262_144
BIRTH_LIMIT: Final = 4_194_304
READINGS_LIMIT: Final = 2_000
RAW_LIMIT: Final = 1_500
SPAN_LIMIT_MS: Final = 86_400_000

Message = DataBatch | Alarm | Event | Birth | Reply | Ack | Command | ConfigPush | State
_T = TypeVar("_T")

_encoder: Final = msgspec.msgpack.Encoder()
_data: Final = msgspec.msgpack.Decoder(DataBatch)
_alarm: Final = msgspec.msgpack.Decoder(Alarm)
_event: Final = msgspec.msgpack.Decoder(Event)
_birth: Final = msgspec.msgpack.Decoder(Birth)
_reply: Final = msgspec.msgpack.Decoder(Reply)
_ack: Final = msgspec.msgpack.Decoder(Ack)
_command: Final = msgspec.msgpack.Decoder(Command)
_config: Final = msgspec.msgpack.Decoder(ConfigPush)
_state: Final = msgspec.json.Decoder(State)


class ContractError(ValueError):
    """A message is not of the contract: count it with its reason, name its sender, drop it."""


def encode(message: Message) -> bytes:
    """Give the bytes of one message: JSON for a state, MessagePack for everything else."""
    if isinstance(message, State):
        return msgspec.json.encode(message)
    return _encoder.encode(message)


def _decode(
    decoder: "msgspec.msgpack.Decoder[_T] | msgspec.json.Decoder[_T]", payload: bytes, limit: int
) -> _T:
    if len(payload) > limit:
        raise ContractError(f"{len(payload)} bytes, at most {limit} are taken")
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ContractError(str(error)[:300]) from None


def decode_data(payload: bytes) -> DataBatch:
    """Read a batch of live or backfilled readings.

    Raises:
        ContractError: wrong types, too large, a sequence number below 1, offsets outside 0 to one
        day, or a value that is
            no finite number.
    """
    batch = _decode(_data, payload, MESSAGE_LIMIT)
    readings = batch.readings
    if batch.epoch < 0 or batch.seq < 1 or batch.t0 < 0:
        raise ContractError("epoch, seq and t0 count upwards from 0, 1 and 0")
    if not 0 < len(readings) <= READINGS_LIMIT:
        raise ContractError(f"{len(readings)} readings, 1 to {READINGS_LIMIT} are taken")
    total = 0.0
    for alias, dt_ms, value, quality in readings:
        if alias < 0 or not 0 <= dt_ms <= SPAN_LIMIT_MS or not 0 <= quality <= 4:
            raise ContractError(
                f"reading out of bounds: alias {alias}, dt {dt_ms} ms, quality {quality}"
            )
        if value is not None:
            # A sum keeps an infinity or a NaN, so one check serves the batch; 1e300 a value leaves
            # room for the sum.
            total += value if -1e300 < value < 1e300 else math.nan
    if not math.isfinite(total):
        raise ContractError("a value is no finite number")
    return batch


def decode_alarm(payload: bytes) -> Alarm:
    """Read a device's alarm.

    Raises:
        ContractError: wrong types, too large, or empty names.
    """
    alarm = _decode(_alarm, payload, MESSAGE_LIMIT)
    _check_fact(alarm.epoch, alarm.seq, alarm.device, alarm.kind, alarm.measured_at)
    if len(alarm.raw) > RAW_LIMIT:
        raise ContractError(f"{len(alarm.raw)} raw bytes, at most {RAW_LIMIT} are taken")
    return alarm


def decode_event(payload: bytes) -> Event:
    """Read a device's event.

    Raises:
        ContractError: wrong types, too large, or empty names.
    """
    event = _decode(_event, payload, MESSAGE_LIMIT)
    _check_fact(event.epoch, event.seq, event.device, event.kind, event.measured_at)
    return event


def _check_fact(epoch: int, seq: int, device: str, kind: str, measured_at: int) -> None:
    if epoch < 0 or seq < 1 or measured_at < 0:
        raise ContractError("epoch, seq and measured_at count upwards from 0, 1 and 0")
    if not device or not kind or len(device) > 64 or len(kind) > 64:
        raise ContractError("device and kind are names of 1 to 64 characters")


def decode_birth(payload: bytes) -> Birth:
    """Read a birth; raises ContractError when its model hash is not that of its content."""
    birth = _decode(_birth, payload, BIRTH_LIMIT)
    if birth.model != model_hash(birth.devices, birth.metrics):
        raise ContractError("the model hash does not fit the devices and metrics")
    return birth


def decode_reply(payload: bytes) -> Reply:
    """Read a command's reply."""
    return _decode(_reply, payload, MESSAGE_LIMIT)


def decode_ack(payload: bytes) -> Ack:
    """Read an acknowledgement."""
    return _decode(_ack, payload, MESSAGE_LIMIT)


def decode_command(payload: bytes) -> Command:
    """Read a command."""
    return _decode(_command, payload, MESSAGE_LIMIT)


def decode_config(payload: bytes) -> ConfigPush:
    """Read a pushed configuration."""
    return _decode(_config, payload, BIRTH_LIMIT)


def decode_state(payload: bytes) -> State:
    """Read a node's connection state (JSON)."""
    return _decode(_state, payload, MESSAGE_LIMIT)


def model_hash(devices: list[DeviceBirth], metrics: list[MetricBirth]) -> int:
    """Give the hash (crc32) by which data batches name the alias table they were written with.

    Numbers are hashed as floats: 2 and 2.0 are one value, and a decoder may turn the one into the other.
    """
    rows = [
        [(d.id, d.kind, d.model, d.name, d.place, d.gateway, float(d.period_s)) for d in devices],
        [
            (m.alias, m.device, m.metric, *map(_number, (m.low, m.high, m.resolution)))
            for m in metrics
        ],
    ]
    return zlib.crc32(_encoder.encode(rows))


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


DECODERS: Final = {
    Channel.STATE: decode_state,
    Channel.BIRTH: decode_birth,
    Channel.DATA: decode_data,
    Channel.BACKFILL: decode_data,
    Channel.ALARM: decode_alarm,
    Channel.EVENT: decode_event,
    Channel.REPLY: decode_reply,
    Channel.ACK: decode_ack,
    Channel.COMMAND: decode_command,
    Channel.CONFIG: decode_config,
}
