"""Line protocol against the examples of its reference and a parser of our own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.series import codec
from cloud.series.model import Grid, SeriesKey

KEY = SeriesKey("shuibei-gas-001", "gas_lel_pct")
names = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20)


def test_a_reading_is_one_line_of_floats() -> None:
    start = codec.head(KEY)
    assert codec.line(start, 1_790_000_000_000, 12, 0) == (
        "linli,device=shuibei-gas-001,metric=gas_lel_pct v=12.0,q=0.0 1790000000000"
    )


def test_a_sensor_fault_has_a_quality_and_no_value() -> None:
    assert codec.line("linli", 5, None, 3) == "linli q=3.0 5"


@given(device=names, metric=names)
def test_escaped_names_split_into_what_they_were(device: str, metric: str) -> None:
    try:
        start = codec.head(SeriesKey(device, metric))
    except ValueError:
        assert any(t.endswith("\\") or not t.isprintable() for t in (device, metric))
        return
    parts = re.split(r"(?<!\\),", start)
    found = [re.split(r"(?<!\\)=", part, maxsplit=1)[1] for part in parts[1:]]
    assert [re.sub(r"\\([,= ])", r"\1", text) for text in found] == [device, metric]
    assert not re.search(r"(?<!\\) ", start)


def test_a_chart_is_one_question_with_all_it_shows() -> None:
    flux = codec.chart_flux("raw", KEY, Grid(1_000, 9_000, 500))
    assert re.findall(r'yield\(name: "(\w+)"\)', flux) == ["count", "min", "mean", "max"]
    assert "range(start: time(v: 1000000000), stop: time(v: 9000000000))" in flux


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T00:00:01.25Z", 1_250),
        ("2026-11-23T00:00:00.001Z", 1_795_392_000_001),
    ],
)
def test_times_keep_their_milliseconds(text: str, wanted: int) -> None:
    assert codec.moment_ms(text) == wanted
