"""InfluxDB: nothing is let go before the server has it, and one bad line harms no other."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.errors import InvalidError
from cloud.kit import hot
from cloud.kit.clock import SystemClock
from cloud.kit.influx import Influx, InfluxBusyError
from cloud.series import store
from cloud.series.influx import Forwarder, InfluxSeries, run_forwarding
from cloud.series.model import DAY_MS, Row, SeriesKey
from tests.cloud.series.conftest import BASE, HandClock
from tests.cloud.series.fake_influx import FakeInflux, running
from tests.cloud.series.worlds import KEYS

END = BASE + DAY_MS
ROWS: list[Row] = [(BASE + n * 1_000, 1, n / 2, 0) for n in range(40)]


@pytest.fixture
def fake() -> Iterator[FakeInflux]:
    yield from running()


@pytest.fixture
def series(tmp_path: Path, clock: HandClock, fake: FakeInflux) -> Iterator[InfluxSeries]:
    opened = InfluxSeries(tmp_path / "series", clock, fake.url, "o", "linli", "right")
    opened.register(KEYS)
    yield opened
    opened.close()


@pytest.fixture
def forwarder(
    series: InfluxSeries, tmp_path: Path, clock: HandClock, fake: FakeInflux
) -> Iterator[Forwarder]:
    assert series
    influx = Influx(fake.url, "o", "linli", "right")
    opened = Forwarder(tmp_path / "series", clock, influx)
    yield opened
    opened.close()
    influx.close()


def waiting(path: Path) -> int:
    connection = hot.open_reader(path / "series" / "series.db")
    state = store.hot_state(connection)
    connection.close()
    return state.rows + state.sealed


@pytest.mark.parametrize("status", [429, 500, 503, 401, 404])
def test_rows_stay_here_until_the_server_takes_them(
    status: int, series: InfluxSeries, forwarder: Forwarder, fake: FakeInflux, tmp_path: Path
) -> None:
    series.append(ROWS, [])
    fake.faults.append((status, {}))
    with pytest.raises(InfluxBusyError, match=str(status)):
        forwarder.step()
    assert waiting(tmp_path) == 40
    series.append([(BASE + 99_000, 1, 7.0, 0)], [])
    assert len(series.raw(1, 0, END, 99)) == 41
    while forwarder.step():
        pass
    assert waiting(tmp_path) == 0
    assert len(fake.points["shuibei-gas-001", "gas_lel_pct"]) == 41
    assert len(series.raw(1, 0, END, 99)) == 41


def test_the_server_says_how_long_to_wait(
    series: InfluxSeries, forwarder: Forwarder, fake: FakeInflux
) -> None:
    series.append(ROWS, [])
    fake.faults.append((503, {"Retry-After": "7"}))
    with pytest.raises(InfluxBusyError) as caught:
        forwarder.step()
    assert caught.value.after_s == 7.0


def test_an_unreachable_server_keeps_rows_here(tmp_path: Path, clock: HandClock) -> None:
    away = "http://127.0.0.1:9"
    series = InfluxSeries(tmp_path / "series", clock, away, "o", "linli", "right")
    series.register(KEYS)
    series.append(ROWS, [])
    influx = Influx(away, "o", "linli", "right")
    forwarder = Forwarder(tmp_path / "series", clock, influx)
    with pytest.raises(InfluxBusyError):
        forwarder.step()
    assert waiting(tmp_path) == 40
    assert series.latest()[0].value == 19.5
    for opened in (forwarder, influx, series):
        opened.close()


def test_a_bad_line_is_put_aside_alone(
    series: InfluxSeries, forwarder: Forwarder, fake: FakeInflux, tmp_path: Path
) -> None:
    fake.poison = "v=6.5,"
    series.append(ROWS, [])
    forwarder.step()
    assert len(fake.points["shuibei-gas-001", "gas_lel_pct"]) == 39
    assert waiting(tmp_path) == 0
    connection = hot.open_reader(tmp_path / "series" / "series.db")
    ((row, reason),) = store.set_aside(connection)
    connection.close()
    assert row == (BASE + 13_000, 1, 6.5, 0)
    assert "invalid field format" in reason


def test_names_that_need_escaping_come_back(
    series: InfluxSeries, forwarder: Forwarder, fake: FakeInflux
) -> None:
    key = SeriesKey('a "quoted", b=c ${d}', "压力 kPa")
    number = series.register([key])[key]
    series.append([(BASE, number, 1e-7, 2)], [])
    forwarder.step()
    assert fake.points[key.device, key.metric] == {BASE: {"v": 1e-7, "q": 2.0}}
    assert fake.asked == []
    flux_device = key.device.replace('"', '\\"').replace("${", "\\${")
    series.chart(number, BASE, END, 3)
    assert flux_device in fake.asked[-1]


@pytest.mark.parametrize("device", ["", "a\nb", "ends\\"])
def test_a_name_that_no_line_can_carry_is_refused(device: str, series: InfluxSeries) -> None:
    with pytest.raises(InvalidError, match="cannot be a tag"):
        series.register([SeriesKey(device, "gas_ppm")])


def test_forwarding_goes_on_by_itself_after_an_outage(tmp_path: Path, fake: FakeInflux) -> None:
    path, clock, stop = tmp_path / "series", SystemClock(), threading.Event()
    series = InfluxSeries(path, clock, fake.url, "o", "linli", "right")
    series.register(KEYS)
    series.append(ROWS, [])
    fake.faults.extend([(503, {"Retry-After": "1"})] * 2)
    thread = threading.Thread(
        target=run_forwarding,
        args=(path, clock, stop, fake.url, "o", "linli", "right"),
        name="forwarding",
    )
    thread.start()
    limit = time.monotonic() + 30
    while waiting(tmp_path) and time.monotonic() < limit:
        time.sleep(0.02)
    stop.set()
    thread.join(30)
    series.close()
    assert len(fake.points["shuibei-gas-001", "gas_lel_pct"]) == 40
