import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.uitd import frames
from firmware_sim.uitd.frames import BUFFER_LIMIT, Command, ComponentKey, Frame, Reader

# Worked examples of a Chinese manual (ActorLancer/GB-T-26875.3.2011-rs, GB26875文档.md at 3787f12).
DUTY_ANSWER = bytes.fromhex(
    "404001000101203A091A090C790300000000385B010000000A000218012001023A091A090C5F2323"
)
CONFIRMATION = bytes.fromhex("404001000101233A091A090C385B01000000790300000000000003AB2323")
VERSION_REQUEST = bytes.fromhex(
    "404001000101203A091A090C385B01000000790300000000030004550100022323"
)
# shootingfans/codec_gb26875_3_2011, codec_test.go at 96ee4a4: version bytes 0.1, 2021-07-02 09:00:05.
PUBLIC_TIME = bytes.fromhex("050009020715")


def test_a_public_operation_frame_is_built_the_same() -> None:
    time = bytes.fromhex("203A091A090C")
    app = frames.app_unit(24, [bytes([0x20, 1]) + bytes.fromhex("023A091A090C")])
    assert Frame(1, 889, 88888, Command.SEND, app, time).pack() == DUTY_ANSWER


def test_public_frames_of_the_centre_are_understood() -> None:
    confirmation, request = Reader().feed(CONFIRMATION + VERSION_REQUEST)
    assert (confirmation.command, confirmation.source, confirmation.target) == (3, 88888, 889)
    assert (request.command, request.app, request.serial) == (4, bytes.fromhex("550100"), 1)


def test_time_is_six_plain_binary_bytes_in_shenzhen() -> None:
    assert frames.time_bytes(1_625_187_605_000) == PUBLIC_TIME


def test_a_component_state_is_46_bytes_in_the_order_of_the_table() -> None:
    key = ComponentKey(1, 2, zone=3, point=0x0104)
    raw = frames.component_state(key, 40, 0x0003, "厨房", PUBLIC_TIME)
    assert len(raw) == 46
    assert raw[:9] == bytes([1, 2, 40, 3, 0, 4, 1, 3, 0])
    assert raw[9:13] == "厨房".encode("gb18030")
    assert raw[13:40] == bytes(27)
    assert raw[40:] == PUBLIC_TIME


def test_a_state_request_names_components_as_public_software_does() -> None:
    # encode_app 62 of the same suite: (1, 1, 17891843) and (13, 3, 305419896)
    key = ComponentKey(13, 3, zone=0x5678, point=0x1234)
    assert key.pack() == bytes.fromhex("78563412")


@given(st.text("ab厨房走廊é𠀀", max_size=60))
def test_a_description_is_31_bytes_and_never_half_a_character(text: str) -> None:
    raw = frames.text_bytes(text)
    assert len(raw) == 31
    assert text.startswith(raw.decode("gb18030").rstrip("\0"))


@given(
    st.binary(max_size=24),
    st.lists(st.integers(0, 90), max_size=5),
    st.sampled_from([b"", b"\0##", b"@ ", b"AT+CSQ\r\n"]),
)
def test_a_stream_cut_anywhere_gives_its_frames(app: bytes, cuts: list[int], noise: bytes) -> None:
    frame = Frame(7, 1, 2, Command.CONTROL, app, PUBLIC_TIME)
    stream = noise + frame.pack() + b"#" + frame.pack()
    reader, found, start = Reader(), [], 0
    for end in [*sorted(cuts), len(stream)]:
        found += reader.feed(stream[start:end])
        start = max(start, end)
    assert found == [frame, frame]


def test_a_bad_checksum_is_dropped_and_the_next_frame_found() -> None:
    broken = CONFIRMATION[:-3] + b"\x00##"
    assert len(Reader().feed(broken + CONFIRMATION)) == 1


def test_a_lying_length_does_not_swallow_what_follows() -> None:
    liar = CONFIRMATION[:24] + b"\xff\xff" + CONFIRMATION[26:]
    assert len(Reader().feed(liar + CONFIRMATION)) == 1


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_any_bytes_are_survived_in_bounded_memory(chunks: list[bytes]) -> None:
    reader = Reader()
    for chunk in chunks:
        reader.feed(chunk)
    assert len(reader._buffer) <= BUFFER_LIMIT


def test_more_than_1024_bytes_of_data_are_refused() -> None:
    with pytest.raises(ValueError, match="1025 bytes"):
        Frame(1, 1, 1, 2, bytes(1025)).pack()
