"""Whatever text a configuration is, it is read or every mistake is told; nothing else comes out."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.config_text import ConfigError, read_yaml

BAD = {
    "an escape beyond Unicode": 'a: "\\U99999999"',
    "half a character": 'a: "\\ud800"',
    "half a character as a key": '"\\ud800": 1',
    "text turned around": 'a: "pump \u202eno"',
    "a number of many digits": "a: " + "9" * 5_000,
    "a hexadecimal number of many digits": "a: 0x" + "f" * 100_000,
    "a number no database takes": "a: 0xffffffffffffffffffff",
    "a boolean that is none": 'a: !!bool "x"',
    "a time that is none": 'a: !!timestamp "x"',
    "a day that is none": "a: 2001-13-45",
    "brackets without end": "{a: " * 3_000,
    "an alias": "a: &x [1]\nb: *x",
    "a key twice": "a: 1\na: 2",
    "two documents": "---\na: 1\n---\nb: 2",
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_told_as_a_mistake(what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(BAD[what], "edge.yaml")
    assert str(caught.value).startswith("edge.yaml")
    assert len(str(caught.value)) < 1_000


def test_chinese_names_and_large_numbers_are_read() -> None:
    text = "name: 老王川菜馆\nat: 1790000000000\n"
    assert read_yaml(text, "f").value == {"name": "老王川菜馆", "at": 1_790_000_000_000}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["a", ": ", "\n", "  ", "- ", "[", "]", "{", "}", "&x", "*x", "!!int ", "!!bool ", '"',
             "\\x", "0x", "9" * 30, "|", ">", "? ", "<<", "2001-01-01", "~", "#", "%", "\u202e", "邻"]
        ),
        max_size=25,
    )
)  # fmt: skip
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    with suppress(ConfigError):
        assert read_yaml("".join(parts), "f").file == "f"
