"""How fast drivers read frames, on one core; the reference is Python walking over the same bytes once.

A serial line of 9,600 baud brings at most 960 bytes a second and a transmission device some frames a minute: what
counts is that a whole community takes no noticeable share of a small box.
"""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.stand import row
from edge.drivers.gb26875.codec import CHINA
from edge.drivers.gb26875.frame import Frame as ReadFrame
from edge.drivers.gb26875.frame import scan
from edge.drivers.gb26875.objects import decode_app
from edge.drivers.modbus.codec import crc16, response_frame
from firmware_sim.uitd import frames
from firmware_sim.uitd.frames import Command, ComponentKey, Frame

WANTED = 5_000
"""Frames a second on one core: a hundred times what the busiest serial line brings."""


def _per_second(work: Callable[[], None], seconds: float) -> float:
    """Give how often `work` is done in a second of CPU time."""
    count, began = 0, time.process_time()
    while (used := time.process_time() - began) < seconds:
        for _ in range(50):
            work()
        count += 50
    return count / used


def _uitd(objects: int) -> bytes:
    at = frames.time_bytes(1_790_000_000_000)
    states = [
        frames.component_state(ComponentKey(1, 1, 1, n), 40, 0x0003, "三楼走廊", at)
        for n in range(1, objects + 1)
    ]
    return Frame(1, 1001, 0, Command.SEND, frames.app_unit(2, states), at).pack()


def _read_uitd(raw: bytes) -> None:
    for item in scan(raw).found:
        if not isinstance(item, ReadFrame):
            raise TypeError("the simulator's frame was not understood")
        decode_app(item.app, CHINA)


def _modbus(registers: int) -> bytes:
    body = bytes([1, 3, 2 * registers]) + bytes(range(2 * registers))
    return body + crc16(body).to_bytes(2, "little")


def _read_modbus(raw: bytes, registers: int) -> None:
    if response_frame(raw, 1, 3, 5 + 2 * registers) is None:
        raise TypeError("the frame was not understood")


def _walk(raw: bytes) -> None:
    total = 0
    for byte in raw:
        total += byte


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - the signature that all benchmarks have
    """Measure each kind of driver; `quick` takes 0.2 s of CPU time each instead of 1 s."""
    seconds = 0.2 if quick else 1.0
    works: list[tuple[str, bytes, Callable[[bytes], None]]] = [
        ("gb26875, one detector a frame", _uitd(1), _read_uitd),
        ("gb26875, 22 detectors a frame", _uitd(22), _read_uitd),
        ("modbus, two registers", _modbus(2), lambda raw: _read_modbus(raw, 2)),
        ("modbus, 40 registers", _modbus(40), lambda raw: _read_modbus(raw, 40)),
    ]
    lines = []
    for name, raw, read in works:
        rate = _per_second(lambda read=read, raw=raw: read(raw), seconds)  # type: ignore[misc]  # bound now
        bare = _per_second(lambda raw=raw: _walk(raw), seconds / 2)  # type: ignore[misc]  # bound now
        told = f"walking over {len(raw)} bytes {bare:,.0f}"
        goal = WANTED if "22" not in name else None
        lines.append(row(f"decode {name}", rate, "frames/s of one core", goal, told))
    return lines
