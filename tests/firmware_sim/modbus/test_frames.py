from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.modbus.frames import (
    BUFFER_LIMIT,
    Request,
    RtuReader,
    TcpReader,
    crc16,
    rtu_frame,
    tcp_frame,
)

# Asserted by pymodbus, test/framer/test_framer.py at 736127513ceeca0fa9bd3d3adcf7516a4ffc161f.
PUBLIC_REQUEST = bytes.fromhex("1103007C00020743")
PUBLIC_ANSWER = bytes.fromhex("110304008D008EFBBD")
PUBLIC_TCP_REQUEST = bytes.fromhex("0000000000061103007C0002")
PUBLIC_TCP_REFUSAL = bytes.fromhex("0C0500000003118302")


def test_a_public_request_is_understood() -> None:
    assert RtuReader().feed(PUBLIC_REQUEST) == [Request(17, bytes.fromhex("03007C0002"), 0, 8)]


def test_a_public_answer_is_built_the_same() -> None:
    assert rtu_frame(17, bytes.fromhex("0304008D008E")) == PUBLIC_ANSWER


def test_public_tcp_frames_are_understood_and_built_the_same() -> None:
    assert TcpReader().feed(PUBLIC_TCP_REQUEST) == [Request(17, bytes.fromhex("03007C0002"), 0, 12)]
    assert tcp_frame(0x0C05, 17, b"\x83\x02") == PUBLIC_TCP_REFUSAL


def test_a_stream_that_is_no_modbus_tcp_is_refused() -> None:
    with pytest.raises(ValueError, match="protocol 18245"):
        TcpReader().feed(b"  GET / HTTP/1.0\r\n".replace(b"  GET", b"\0\0GE"))


def test_noise_before_a_request_is_skipped() -> None:
    assert [request.unit for request in RtuReader().feed(b"\x00\xff\x03" + PUBLIC_REQUEST)] == [17]


def test_two_requests_in_one_segment_are_two() -> None:
    assert len(RtuReader().feed(PUBLIC_REQUEST * 2)) == 2
    assert len(TcpReader().feed(PUBLIC_TCP_REQUEST * 2)) == 2


@given(cuts=st.lists(st.integers(0, 21), max_size=6))
def test_it_does_not_matter_where_a_stream_is_cut(cuts: list[int]) -> None:
    stream = PUBLIC_REQUEST + rtu_frame(3, bytes.fromhex("0F0000000A02FF03")) + PUBLIC_REQUEST
    reader, found = RtuReader(), []
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        found += reader.feed(stream[start:end])
    assert [request.unit for request in found] == [17, 3, 17]


@given(st.lists(st.binary(max_size=300), max_size=12))
def test_any_bytes_are_survived_in_bounded_memory(chunks: list[bytes]) -> None:
    reader = RtuReader()
    for chunk in chunks:
        reader.feed(chunk)
    assert len(reader._buffer) <= BUFFER_LIMIT


@given(st.binary(min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 255))
def test_a_changed_byte_changes_the_check_bytes(frame: bytes, at: int, change: int) -> None:
    spoilt = bytearray(frame)
    spoilt[at % len(frame)] ^= change
    assert crc16(bytes(spoilt)) != crc16(frame)
