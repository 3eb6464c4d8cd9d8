"""Line protocol and Flux of InfluxDB 2, as far as readings need them.

    linli,device=shuibei-gas-001,metric=gas_lel_pct v=12.5,q=0.0 1790000000000

`v` is the value, absent for a sensor fault; `q` the quality. Numbers are always floats: the first write fixes a field's
type, and an integer would make every later float a conflict.
https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

import json
from datetime import datetime
from typing import Final

from cloud.series.model import Grid, SeriesKey

MEASUREMENT: Final = "linli"
_TAG: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})


def head(key: SeriesKey) -> str:
    """Give measurement and tags of a series.

    Raises:
        ValueError: a name is empty, ends in a backslash or holds a line break, which line protocol cannot carry.
    """
    for text in (key.device, key.metric):
        if not text or text.endswith("\\") or not text.isprintable():
            raise ValueError(f"{text!r} cannot be a tag of InfluxDB")
    device, metric = key.device.translate(_TAG), key.metric.translate(_TAG)
    return f"{MEASUREMENT},device={device},metric={metric}"


def line(start: str, measured_at: int, value: float | None, quality: int) -> str:
    """Give the line of one reading; `start` comes from `head`, `measured_at` is in Unix ms."""
    if value is None:
        return f"{start} q={quality}.0 {measured_at}"
    return f"{start} v={float(value)!r},q={quality}.0 {measured_at}"


def quoted(text: str) -> str:
    """Give `text` as a Flux string."""
    return json.dumps(text, ensure_ascii=False).replace("${", "\\${")


def _source(bucket: str, key: SeriesKey, start: int, end: int) -> str:
    return (
        f"from(bucket: {quoted(bucket)})"
        f" |> range(start: time(v: {start * 1_000_000}), stop: time(v: {end * 1_000_000}))"
        f' |> filter(fn: (r) => r._measurement == "{MEASUREMENT}"'
        f" and r.device == {quoted(key.device)} and r.metric == {quoted(key.metric)})"
    )


def raw_flux(bucket: str, key: SeriesKey, start: int, end: int, limit: int) -> str:
    """Ask for readings in [start, end) Unix ms, oldest first, at most `limit`."""
    return (
        f"{_source(bucket, key, start, end)}"
        ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        f' |> group() |> sort(columns: ["_time"]) |> limit(n: {limit})'
    )


def chart_flux(bucket: str, key: SeriesKey, lattice: Grid) -> str:
    """Ask for count, min, mean and max of every bucket in one request; each is pushed down to storage."""
    source = (
        f'{_source(bucket, key, lattice.start, lattice.end)} |> filter(fn: (r) => r._field == "v")'
    )
    window = f"aggregateWindow(every: {lattice.width_ms}ms, createEmpty: false, timeSrc: "
    yields = [
        f'rows |> {window}"_start", fn: {name}) |> yield(name: "{name}")'
        for name in ("count", "min", "mean", "max")
    ]
    return "\n".join([f"rows = {source}", *yields])


def moment_ms(text: str) -> int:
    """Turn a time of InfluxDB's CSV (RFC 3339) into Unix ms.

    Raises:
        ValueError: it is none.
    """
    return round(datetime.fromisoformat(text).timestamp() * 1000)
