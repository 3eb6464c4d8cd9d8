from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.drivers.gb26875.codec import CHINA, decode
from edge.drivers.gb26875.frame import (
    FRAME_LIMIT,
    Frame,
    FrameScanner,
    Skipped,
    answer,
    checksum,
    encode,
    scan,
)
from edge.drivers.gb26875.objects import (
    decode_app,
    encode_components,
    encode_duty_check,
    encode_records,
    encode_set_time,
    encode_systems,
    encode_uitd,
)
from edge.drivers.gb26875.tables import TYPES
from edge.drivers.gb26875.wall_time import WallTime
from tests.edge.drivers.driver_peers import cases, component_state, holds, uitd_frame

CASES = cases("gb26875")
FIRE = uitd_frame(component_state(0b10), serial=7)


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [case for case in CASES if case["kind"] in kinds]


def frames_of(data: bytes) -> list[Frame]:
    return [item for item in scan(data).found if isinstance(item, Frame)]


def test_every_case_is_looked_at() -> None:
    kinds = {"decode", "decode_app", "invalid_app", "encode", "encode_app"}
    assert {case["kind"] for case in CASES} == kinds | {"invalid", "incomplete", "stream"}


@pytest.mark.parametrize("case", of_kind("decode"), ids=lambda case: case["id"])
def test_a_frame_from_elsewhere_decodes_to_what_its_source_states(case: dict[str, Any]) -> None:
    (row,) = decode(bytes.fromhex(case["frame_hex"]))
    assert row.ok
    assert row.consumed == len(case["frame_hex"]) // 2
    assert holds(case["expected"], dict(row.fields))


@pytest.mark.parametrize("case", of_kind("decode_app", "invalid_app"), ids=lambda case: case["id"])
def test_application_data_from_elsewhere_decodes(case: dict[str, Any]) -> None:
    app = decode_app(bytes.fromhex(case["frame_hex"]), CHINA)
    assert holds(case["expected"], {"type_flag": app.type_flag, "objects": app.objects})
    assert bool(app.error) == (case["kind"] == "invalid_app")


@pytest.mark.parametrize("case", of_kind("decode_app", "invalid_app"), ids=lambda case: case["id"])
def test_application_data_pasted_alone_is_read_as_such(case: dict[str, Any]) -> None:
    (row,) = decode(bytes.fromhex(case["frame_hex"]))
    assert row.ok == (case["kind"] == "decode_app")
    assert row.fields["layer"] == "app"
    assert row.consumed == len(case["frame_hex"]) // 2
    assert holds(case["expected"], dict(row.fields))


def test_requests_pasted_alone_are_read_too_and_text_may_hold_a_start_marker() -> None:
    for case in of_kind("encode_app"):
        (row,) = decode(bytes.fromhex(case["expected"]["app_hex"]))
        assert (row.ok, row.fields["type_flag"]) == (True, case["input"]["type_flag"])
    (row,) = decode(bytes((26, 1, 4)) + b"@@ab")
    assert (row.ok, row.fields["objects"]) == (True, [{"config": "@@ab"}])


@given(st.sampled_from(of_kind("decode_app")), st.data())
def test_half_application_data_gives_no_object(case: dict[str, Any], data: st.DataObject) -> None:
    whole = bytes.fromhex(case["frame_hex"])
    cut = data.draw(st.integers(1, len(whole) - 1))
    rows = list(decode(whole[:cut]))
    assert not any(row.ok or row.fields.get("objects") for row in rows)


def test_bytes_without_a_start_are_skipped_whole() -> None:
    (case,) = of_kind("invalid")
    (row,) = decode(bytes.fromhex(case["frame_hex"]))
    assert not row.ok
    assert row.consumed == len(case["frame_hex"]) // 2


def test_an_incomplete_frame_is_waited_for() -> None:
    (case,) = of_kind("incomplete")
    (row,) = decode(bytes.fromhex(case["frame_hex"]))
    assert (row.ok, row.consumed) == (False, case["expected"]["consumed"])
    assert row.fields["missing"] == 48 + 30 - len(case["frame_hex"]) // 2


def test_every_good_frame_after_a_damaged_one_arrives() -> None:
    (case,) = of_kind("stream")
    rows = list(decode(bytes.fromhex(case["frame_hex"])))
    good = [row for row in rows if row.ok]
    assert len(good) == 3
    for row in good:
        assert holds(case["expected"]["header"], dict(row.fields))
        assert row.fields["command"] == 3


def test_a_confirmation_is_written_as_the_source_states() -> None:
    (case,) = of_kind("encode")
    given_ = case["input"]
    moment = datetime(2021, 7, 2, 9, 0, 5, tzinfo=ZoneInfo("Asia/Shanghai"))
    written = encode(
        Frame(
            serial=given_["serial"],
            version=(0, 1),
            time=CHINA.write(round(moment.timestamp() * 1000)),
            source=given_["source"],
            target=given_["target"],
            command=given_["command"],
            app=b"",
        )
    )
    assert written.hex().upper() == case["expected"]["frame_hex"]


@pytest.mark.parametrize("case", of_kind("encode_app"), ids=lambda case: case["id"])
def test_requests_are_written_as_the_source_states(case: dict[str, Any]) -> None:
    type_flag = case["input"]["type_flag"]
    if "systems" in case["input"]:
        app = encode_systems(type_flag, [tuple(item) for item in case["input"]["systems"]])
    else:
        app = encode_components(type_flag, [tuple(item) for item in case["input"]["components"]])
    assert app.hex().upper() == case["expected"]["app_hex"]


@pytest.mark.parametrize(
    ("app", "objects"),
    [
        (encode_uitd(85), [{"reserved": 0}]),
        (encode_duty_check(10), [{"minutes": 10}]),
        (encode_set_time(bytes((5, 0, 9, 2, 7, 21))), [{"time": "2021-07-02T09:00:05"}]),
        (encode_records(84, None, 3, bytes((5, 0, 9, 2, 7, 21))), [{"records": 3}]),
        (encode_records(64, (1, 2), 3, bytes(6)), [{"system_addr": 2, "time": None}]),
        (encode_components(62, [(1, 1, 0x20001)]), [{"zone": 1, "point": 2}]),
        (encode_systems(61, [(1, 1), (13, 2)]), [{"system_type": 1}, {"system_type": 13}]),
        (
            bytes((21, 1, 0b1000011, 5, 0, 9, 2, 7, 21)),
            [{"bits": ["normal", "fire", "line_fault"]}],
        ),
        (bytes((5, 1, 1, 2, 3, 4)), [{"version": "3.4"}]),
        (bytes((25, 1, 3, 4)), [{"version": "3.4"}]),
        (bytes((26, 1, 2, 0xB0, 0xA1)), [{"config": "啊"}]),
        (bytes((7, 1, 1, 1, 40, 1, 0, 2, 0)) + bytes(31), [{"point": 2, "description": ""}]),
    ],
)
def test_each_type_reads_what_the_standard_puts_there(
    app: bytes, objects: list[dict[str, Any]]
) -> None:
    found = decode_app(app, CHINA)
    assert found.error == ""
    assert holds(objects, found.objects)
    assert found.type_flag in TYPES


def test_the_end_marker_may_stand_inside_the_data() -> None:
    data = uitd_frame(b"\x80\x01##@@##")
    assert [frame.app for frame in frames_of(data)] == [b"\x80\x01##@@##"]


def test_a_damaged_length_does_not_hold_back_the_fire_behind_it() -> None:
    damaged = bytearray(uitd_frame(component_state(1)))
    damaged[24:26] = (1000).to_bytes(2, "little")
    scanner = FrameScanner()
    found = scanner.feed(bytes(damaged) + FIRE)
    assert [item.serial for item in found if isinstance(item, Frame)] == [7]
    assert scanner.pending == 0


def test_a_wrong_sum_names_the_sender_so_that_it_can_be_told() -> None:
    broken = FIRE[:-3] + bytes((FIRE[-3] ^ 1,)) + FIRE[-2:]
    (item,) = scan(b"\x00" + broken).found[1:]
    assert isinstance(item, Skipped)
    assert item.damaged is not None
    assert (item.damaged.source, item.damaged.serial) == (1001, 7)
    row = next(iter(decode(broken)))
    assert row.fields["checksum_ok"] is False


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"@@", b"##", FIRE, FIRE[:40], b"\0"])).map(b"".join)
)
def test_any_bytes_are_accounted_for_and_little_is_left_waiting(data: bytes) -> None:
    result = scan(data)
    sizes = [len(item.raw) if isinstance(item, Frame) else item.size for item in result.found]
    assert sum(sizes) == result.rest
    assert len(data) - result.rest < FRAME_LIMIT
    for row in decode(data):
        assert row.ok == (not row.error)


@given(st.binary(max_size=80))
def test_any_application_data_gives_objects_and_never_raises(data: bytes) -> None:
    app = decode_app(data, CHINA)
    assert len(app.objects) == len(app.parts)


frames = st.builds(
    lambda serial, source, command, app: uitd_frame(
        app, serial=serial, source=source, command=command
    ),
    st.integers(0, 65535),
    st.integers(0, 2**48 - 1),
    st.integers(0, 255),
    st.binary(max_size=60),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(frames, min_size=1, max_size=4), st.integers(1, 40))
def test_a_stream_gives_the_same_frames_however_it_is_cut(sent: list[bytes], size: int) -> None:
    stream = b"\x01".join(sent)
    scanner = FrameScanner()
    found: list[Frame | Skipped] = []
    for at in range(0, len(stream), size):
        found += scanner.feed(stream[at : at + size])
    assert [item.raw for item in found if isinstance(item, Frame)] == sent


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(FIRE) - 1), st.integers(1, 255))
def test_a_changed_byte_never_passes_and_never_harms_the_next_frame(at: int, change: int) -> None:
    mutated = FIRE[:at] + bytes((FIRE[at] ^ change,)) + FIRE[at + 1 :]
    found = frames_of(mutated + FIRE)
    assert [frame.raw for frame in found] == [FIRE]


@given(frames)
def test_what_is_written_reads_back(raw: bytes) -> None:
    (frame,) = frames_of(raw)
    assert encode(frame) == raw
    assert checksum(raw) == raw[-3]
    reply = frames_of(answer(frame, 3, bytes(6)))[0]
    assert (reply.serial, reply.source, reply.target) == (frame.serial, frame.target, frame.source)


@pytest.mark.parametrize("data", ["000000000000", "3B3B173F0D15", "FFFFFFFFFFFF", "0500090207"])
def test_a_dead_clock_gives_no_date(data: str) -> None:
    assert CHINA.read_ms(bytes.fromhex(data)) is None


def test_bcd_is_read_only_where_it_is_switched_on() -> None:
    bcd = WallTime(ZoneInfo("Asia/Shanghai"), is_bcd=True)
    moment = bcd.read(bytes.fromhex("301213010814"))
    assert moment is not None
    assert moment.isoformat() == "2014-08-01T13:12:30+08:00"
    assert bcd.read(bytes.fromhex("3A1213010814")) is None
    plain = CHINA.read(bytes.fromhex("301213010814"))
    assert plain is not None
    assert plain.isoformat() == "2020-08-01T19:18:48+08:00"


@given(st.integers(946_684_800_000, 4_102_000_000_000), st.booleans())
def test_a_time_that_is_written_reads_back_to_the_second(unix_ms: int, is_bcd: bool) -> None:
    wall = WallTime(ZoneInfo("Asia/Shanghai"), is_bcd)
    assert wall.read_ms(wall.write(unix_ms)) == unix_ms // 1000 * 1000
