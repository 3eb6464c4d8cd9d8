import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.modbus.image import Image


@pytest.fixture
def image() -> Image:
    made = Image()
    made.holding = {0: 100, 1: 0xFFFE}
    made.inputs = {0: 4000}
    made.coils = dict.fromkeys(range(10), 0) | {0: 1, 9: 1}
    made.contacts = {0: 1}
    made.writable = {1}
    return made


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("0300000002", "03040064FFFE"),
        ("0400000001", "04020FA0"),
        ("010000000A", "01020102"),
        ("0200000001", "020101"),
        ("0500000000", "0500000000"),
        ("05 0001 FF00", "050001FF00"),
        ("06 0001 0007", "0600010007"),
        ("0F 0000 000A 02 FF03", "0F0000000A"),
        ("10 0001 0001 02 0102", "1000010001"),
    ],
)
def test_a_function_answers_as_the_standard_says(image: Image, asked: str, answered: str) -> None:
    assert image.answer(bytes.fromhex(asked)).hex() == answered.lower().replace(" ", "")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("2B0E0100", "ab01"),  # function not known
        ("0300010002", "8302"),  # register 2 does not exist
        ("0300000000", "8303"),  # none asked for
        ("030000007E", "8303"),  # more than 125
        ("0300", "8303"),  # cut short
        ("0500000001", "8503"),  # neither on nor off
        ("0600000001", "8602"),  # read-only
        ("0F0000000A01FF", "8f03"),  # a byte too few
        ("1000010001040102", "9003"),
    ],
)
def test_a_refusal_carries_its_code(image: Image, asked: str, answered: str) -> None:
    assert image.answer(bytes.fromhex(asked)).hex() == answered


def test_a_refused_write_changes_nothing(image: Image) -> None:
    before = dict(image.holding)
    assert image.answer(bytes.fromhex("100000000204 00010002".replace(" ", "")))[0] == 0x90
    assert image.holding == before


def test_every_accepted_write_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    image = Image(lambda table, address, value: told.append((table, address, value)))
    image.coils = {0: 1, 1: 0}
    image.answer(bytes.fromhex("0F0000000201 02".replace(" ", "")))
    image.answer(struct.pack(">BHH", 5, 7, 0xFF00))
    assert told == [("coils", 0, 0), ("coils", 1, 1)]


@given(st.binary(min_size=1, max_size=260))
def test_any_request_gets_an_answer(pdu: bytes) -> None:
    image = Image()
    image.holding = dict.fromkeys(range(20), 7)
    answer = image.answer(pdu)
    assert answer[0] in {pdu[0], pdu[0] | 0x80}
