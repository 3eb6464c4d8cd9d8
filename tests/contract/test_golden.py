"""The bytes on the wire, pinned: whoever changes the format sees it here and must think of edges in the field."""

import pytest

from contract.codec import (
    DECODERS,
    ContractError,
    Message,
    decode_birth,
    decode_data,
    encode,
    model_hash,
)
from contract.messages import (
    Ack,
    Alarm,
    Birth,
    Command,
    ConfigPush,
    DataBatch,
    DeviceBirth,
    Event,
    Lane,
    MetricBirth,
    Reply,
    State,
)
from contract.topics import Channel

DEVICES = [DeviceBirth(id="s-gas-1", kind="gas", model="m", name="厨房", place="b01/f01/r101")]
METRICS = [MetricBirth(alias=1, device="s-gas-1", metric="gas_lel_pct", low=0.0, high=100.0)]
AT = 1_764_000_000_000

GOLDEN: dict[str, tuple[Channel, Message]] = {
    "data": (Channel.DATA, DataBatch(AT, 7, AT, 99, [(1, 0, 4.5, 0), (2, 10, None, 3)])),
    "alarm": (
        Channel.ALARM,
        Alarm(
            epoch=AT, seq=1, alarm_id="a", device="s-smoke-1", kind="fire", is_active=True,
            measured_at=AT, device_at=None, is_test=False, is_history=False,
            detail={"type": 40}, raw=b"\x40\x40",
        ),
    ),
    "event": (
        Channel.EVENT,
        Event(epoch=AT, seq=2, event_id="e", device="s-uitd-1", kind="link_down", measured_at=AT,
              detail={"reason": "heartbeat"}),
    ),
    "birth": (
        Channel.BIRTH,
        Birth(epoch=AT, boot=3, at=AT, software="0.1.0", model=model_hash(DEVICES, METRICS),
              devices=DEVICES, metrics=METRICS, config_version=1),
    ),
    "reply": (Channel.REPLY, Reply(id="c", ok=False, at=AT, message="no such device")),
    "ack": (Channel.ACK, Ack(AT, Lane.ALARM, 12)),
    "command": (
        Channel.COMMAND,
        Command(id="c", op="write", args={"value": 0}, issued_at=AT, expires=AT + 1),
    ),
    "config": (Channel.CONFIG, ConfigPush(version=2, document="edge: {}", sha256="00")),
    "state": (Channel.STATE, State(online=True, boot=3, at=AT)),
}  # fmt: skip
BYTES: dict[str, str] = {
    "ack": "93cf0000019ab697e800a5616c61726d0c",
    "alarm": (
        "9ccf0000019ab697e80001a161a9732d736d6f6b652d31a466697265c3cf0000019ab697e800c0c2"
        "c281a47479706528c4024040"
    ),
    "birth": (
        "88a565706f6368cf0000019ab697e800a4626f6f7403a26174cf0000019ab697e800a8736f667477"
        "617265a5302e312e30a56d6f64656cceac417011a7646576696365739187a26964a7732d6761732d"
        "31a46b696e64a3676173a56d6f64656ca16da46e616d65a6e58ea8e688bfa5706c616365ac623031"
        "2f6630312f72313031a767617465776179a0a8706572696f645f73cb404e000000000000a76d6574"
        "726963739186a5616c69617301a6646576696365a7732d6761732d31a66d6574726963ab6761735f"
        "6c656c5f706374a36c6f77cb0000000000000000a468696768cb4059000000000000aa7265736f6c"
        "7574696f6ec0ae636f6e6669675f76657273696f6e01"
    ),
    "command": (
        "85a26964a163a26f70a57772697465a46172677381a576616c756500a96973737565645f6174cf00"
        "00019ab697e800a765787069726573cf0000019ab697e801"
    ),
    "config": "83a776657273696f6e02a8646f63756d656e74a8656467653a207b7da6736861323536a23030",
    "data": "95cf0000019ab697e80007cf0000019ab697e8006392940100cb40120000000000000094020ac003",
    "event": (
        "9acf0000019ab697e80002a165a8732d756974642d31a96c696e6b5f646f776ecf0000019ab697e8"
        "00c0c281a6726561736f6ea9686561727462656174c0"
    ),
    "reply": (
        "85a26964a163a26f6bc2a26174cf0000019ab697e800a76d657373616765ae6e6f20737563682064"
        "6576696365a6726573756c7480"
    ),
    "state": (
        "7b226f6e6c696e65223a747275652c22626f6f74223a332c226174223a313736343030303030303030307d"
    ),
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_bytes_are_as_ever(name: str) -> None:
    channel, message = GOLDEN[name]
    assert encode(message).hex() == BYTES[name]
    assert DECODERS[channel](bytes.fromhex(BYTES[name])) == message


def test_every_channel_with_a_payload_of_ours_is_pinned() -> None:
    assert {channel for channel, _ in GOLDEN.values()} | {Channel.BACKFILL} == set(DECODERS)


def test_a_later_edge_may_add_fields_at_the_end() -> None:
    longer = bytes([0x96]) + bytes.fromhex(BYTES["data"])[1:] + b"\xa3new"
    assert decode_data(longer) == GOLDEN["data"][1]


def test_a_birth_whose_hash_does_not_fit_is_refused() -> None:
    message = GOLDEN["birth"][1]
    assert isinstance(message, Birth)
    broken = encode(message).replace(b"s-gas-1", b"s-gas-2", 1)
    with pytest.raises(ContractError, match="hash"):
        decode_birth(broken)
