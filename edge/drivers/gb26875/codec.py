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
from edge.drivers.gb26875.frame import Frame, Skipped, scan
from edge.drivers.gb26875.objects import decode_app
from edge.drivers.gb26875.tables import COMMANDS, TYPES
from edge.drivers.gb26875.wall_time import WallTime

CHINA: Final = WallTime(ZoneInfo("Asia/Shanghai"))


def decode(data: bytes) -> Iterator[CaptureRow]:
    """Find the frames in captured bytes; times are read as those of Asia/Shanghai.

    Args:
        data: any bytes.

    Yields:
        A row per frame, a row with `ok` false for every stretch that is none, and one that consumes nothing for the
        beginning of a frame at the end.
    """
    result = scan(data)
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
        **_header(frame, wall),
        "checksum_ok": True,
        "app_hex": frame.app.hex().upper(),
        "type_flag": app.type_flag,
        "type_name": None if app.type_flag is None else TYPES.get(app.type_flag, "unknown"),
        "objects": app.objects,
    }
    if app.error:
        fields["app_error"] = app.error
    if app.type_flag == 91 and app.objects:
        fields["minutes"] = app.objects[0]["minutes"]
    return fields
