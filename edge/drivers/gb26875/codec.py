"""Captured bytes of GB/T 26875.3-2011 to rows of plain values. Pure; the frame's table stands in frame.py.

| part | file |
| --- | --- |
| start, header, sum, end | frame.py |
| application data | objects.py |
| time | wall_time.py |
| names of numbers | tables.py |
"""

from collections.abc import Iterator
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge.driver import CaptureRow
from edge.drivers.gb26875.frame import START, Frame, Scan, Skipped, scan
from edge.drivers.gb26875.objects import App, decode_app
from edge.drivers.gb26875.tables import COMMANDS, TYPES
from edge.drivers.gb26875.wall_time import WallTime

CHINA: Final = WallTime(ZoneInfo("Asia/Shanghai"))


def decode(data: bytes) -> Iterator[CaptureRow]:
    """Find the frames in captured bytes; times are read as those of Asia/Shanghai.

    Bytes without any frame that are application data from end to end are read as such: logs and documents often show
    only that part.

    Args:
        data: any bytes.

    Yields:
        A row per frame, a row with `ok` false for every stretch that is none, and one that consumes nothing for the
        beginning of a frame at the end; or one row for application data alone.
    """
    result = scan(data)
    alone = _app_alone(data, result)
    if alone is not None:
        yield alone
        return
    for item in result.found:
        if isinstance(item, Frame):
            yield CaptureRow(ok=True, consumed=len(item.raw), fields=frame_fields(item, CHINA))
        else:
            yield CaptureRow(
                ok=False, consumed=item.size, fields=_damaged_fields(item), error=item.reason
            )
    if result.rest < len(data):
        pending = len(data) - result.rest
        yield CaptureRow(
            ok=False,
            consumed=0,
            fields={"pending": pending, "missing": result.missing},
            error=f"incomplete: {pending} bytes wait for {result.missing} more",
        )


def _app_alone(data: bytes, result: Scan) -> CaptureRow | None:
    """Read bytes without a frame as application data; None when they are not, or begin like a frame."""
    has_frame = any(isinstance(item, Frame) or item.damaged for item in result.found)
    if has_frame or len(data) < 2 or data.startswith(START):
        return None
    app = decode_app(data, CHINA)
    if app.type_flag is None or app.type_flag not in TYPES:
        return None
    if app.error or not app.objects:
        # Half an object is worth nothing, and the whole ones before it may be chance: nothing is given out.
        reason = app.error or "no objects"
        error = f"no start marker; as {TYPES[app.type_flag]} without a frame: {reason}"
        fields: dict[str, Any] = {"layer": "app", "type_flag": app.type_flag, "objects": []}
        return CaptureRow(ok=False, consumed=len(data), fields=fields, error=error)
    return CaptureRow(ok=True, consumed=len(data), fields={"layer": "app", **_app_fields(app)})


def _damaged_fields(item: Skipped) -> dict[str, Any]:
    if item.damaged is None:
        return {}
    return {**_header(item.damaged, CHINA), "checksum_ok": False}


def _header(frame: Frame, wall: WallTime) -> dict[str, Any]:
    moment = wall.read(frame.time)
    user = "user" if frame.command >= 128 else "reserved"
    return {
        "serial": frame.serial,
        "version": f"{frame.version[0]}.{frame.version[1]}",
        "time": None if moment is None else moment.replace(tzinfo=None).isoformat(),
        "time_ms": wall.read_ms(frame.time),
        "source": frame.source,
        "target": frame.target,
        "command": frame.command,
        "command_name": COMMANDS.get(frame.command, user),
    }


def frame_fields(frame: Frame, wall: WallTime) -> dict[str, Any]:
    """Give a whole frame as plain JSON values."""
    app = decode_app(frame.app, wall)
    fields = {
        "layer": "frame",
        **_header(frame, wall),
        "checksum_ok": True,
        "app_hex": frame.app.hex().upper(),
        **_app_fields(app),
    }
    if app.error:
        fields["app_error"] = app.error
    return fields


def _app_fields(app: App) -> dict[str, Any]:
    fields = {
        "type_flag": app.type_flag,
        "type_name": None if app.type_flag is None else TYPES.get(app.type_flag, "unknown"),
        "objects": app.objects,
    }
    if app.type_flag == 91 and app.objects:
        fields["minutes"] = app.objects[0]["minutes"]
    return fields
