from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.drivers.modbus.codec import crc16, decode, response_frame
from tests.edge.drivers.driver_peers import cases, holds, slow_crc


@pytest.mark.parametrize("case", cases("modbus"), ids=lambda case: case["id"])
def test_a_frame_from_elsewhere_decodes_to_what_its_source_states(case: dict[str, Any]) -> None:
    (row,) = decode(bytes.fromhex(case["frame_hex"]))
    assert row.ok
    assert row.consumed == len(case["frame_hex"]) // 2
    assert holds(case["expected"], dict(row.fields))


def rtu(body: str) -> bytes:
    data = bytes.fromhex(body)
    return data + slow_crc(data)


@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        ("0101000000 08", {"direction": "request", "address": 0, "count": 8}),
        ("01010105", {"direction": "response", "bits": [1, 0, 1, 0, 0, 0, 0, 0]}),
        ("01050000FF00", {"function": 5, "address": 0, "bits": [1]}),
        ("010600010003", {"function": 6, "address": 1, "registers": [3]}),
        ("0110000A0002", {"direction": "response", "address": 10, "count": 2}),
        ("0110000A00020400010002", {"direction": "request", "registers": [1, 2]}),
        ("010F0000000A02CD01", {"direction": "request", "bits": [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]}),
        ("018302", {"function": 3, "exception": 2, "exception_name": "illegal address"}),
        ("0141AABB", {"direction": "unknown", "data_hex": "AABB"}),
    ],
)
def test_the_length_tells_request_from_response(frame: str, fields: dict[str, Any]) -> None:
    (row,) = decode(rtu(frame))
    assert row.ok
    assert holds(fields, dict(row.fields))


def test_the_second_of_two_equal_frames_is_the_answer() -> None:
    first, second = decode(rtu("01050000FF00") * 2)
    assert (first.fields["direction"], second.fields["direction"]) == ("request", "response")


def test_frames_are_found_between_noise_and_every_byte_is_accounted_for() -> None:
    capture = b"\xff\xff" + rtu("010300000002") + b"\x00" + rtu("01030400D20000") + b"\x11"
    rows = list(decode(capture))
    assert [row.ok for row in rows] == [False, True, False, True, False]
    assert sum(row.consumed for row in rows) == len(capture)
    assert rows[3].fields["registers"] == [0xD2, 0]


def test_a_wrong_crc_is_no_frame() -> None:
    good = rtu("01030400D20000")
    (row,) = decode(good[:-1] + bytes((good[-1] ^ 1,)))
    assert not row.ok
    assert "CRC" in row.error


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_rows_that_account_for_all_of_them(data: bytes) -> None:
    assert sum(row.consumed for row in decode(data)) == len(data)


@given(st.binary(max_size=64))
def test_the_crc_is_that_of_the_bitwise_definition(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == slow_crc(data)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_an_answer_is_found_whatever_stands_around_it(before: bytes, after: bytes) -> None:
    answer = rtu("07030400D20001")
    found = response_frame(before + answer + after, 7, 3, 9)
    assert found is not None
    assert slow_crc(found[:-2]) == found[-2:]


def test_an_answer_is_not_taken_for_that_of_another_unit_function_or_size() -> None:
    answer = rtu("07030400D20001")
    assert response_frame(answer, 8, 3, 9) is None
    assert response_frame(answer, 7, 4, 9) is None
    assert response_frame(answer, 7, 3, 7) is None
    assert all(response_frame(answer[:size], 7, 3, 9) is None for size in range(len(answer)))
    assert response_frame(rtu("078302"), 7, 3, 9) == rtu("078302")
