"""The spool under full disks, crashes and strangers."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contract.codec import decode_alarm, decode_birth, decode_data
from contract.messages import Alarm, Birth, Event, Lane
from edge.disk_reserve import CHUNK_BYTES
from edge.errors import SpoolFullError, SpoolLockedError
from edge.spool import Spool
from tests.edge.clocks import FakeClock

NOW = 1_790_000_000_000


def birth(model: int = 1) -> Birth:
    return Birth(epoch=1, boot=1, at=1, software="t", model=model, devices=[], metrics=[])


def alarm(name: str = "a", raw: bytes = b"") -> Alarm:
    return Alarm(
        epoch=0,
        seq=0,
        alarm_id=name,
        device="smoke-1",
        kind="fire",
        is_active=True,
        measured_at=NOW,
        raw=raw,
    )


def event(name: str) -> Event:
    return Event(epoch=0, seq=0, event_id=name, device="d", kind="operation", measured_at=NOW)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path / "spool.db", limit_mb=8, clock=FakeClock())
    await spool.use_model(birth())
    yield spool
    spool.close()


async def test_many_deliveries_at_once_share_a_commit_and_none_is_lost(spool: Spool) -> None:
    async with asyncio.TaskGroup() as tasks:
        for unit in range(200):
            tasks.create_task(spool.append([], [(unit, NOW, float(unit), 0)]), name=f"unit {unit}")
    found = []
    while message := await spool.form(Lane.DATA):
        found += [row[0] for row in decode_data(message[1]).readings]
    assert sorted(found) == list(range(200))


async def test_a_full_spool_drops_the_oldest_readings_and_counts_them(spool: Spool) -> None:
    total = 0
    while not (await spool.depth()).dropped_total:
        await spool.append([], [(1, NOW + total + i, 1.0, 0) for i in range(2000)])
        total += 2000
    await spool.link_is_up()
    first = await spool.form(Lane.BACKFILL)
    dropped = await spool.take_dropped()
    assert first is not None
    assert dropped.count == (await spool.depth()).dropped_total
    assert (dropped.first_at, dropped.last_at) == (NOW, NOW + dropped.count - 1)
    assert decode_data(first[1]).t0 == NOW + dropped.count
    assert (await spool.take_dropped()).count == 0


async def test_a_full_disk_takes_alarms_while_readings_make_room(spool: Spool) -> None:
    for store in (spool.facts, spool.readings):
        store.database.grow = lambda step=CHUNK_BYTES: False  # type: ignore[method-assign]
    sent = 0
    for step in range(60):
        await spool.append([alarm(str(step), b"x" * 1000)], [(1, NOW, 1.0, 0)] * 1500)
        sent += 1
    kept = await spool.outgoing(Lane.ALARM, 1, 1000)
    assert [decode_alarm(payload).alarm_id for _, payload in kept] == [str(i) for i in range(sent)]
    assert (await spool.depth()).dropped_total > 0


async def test_when_nothing_is_left_an_alarm_is_refused_and_room_comes_with_an_ack(
    spool: Spool,
) -> None:
    spool.facts.database.grow = lambda step=CHUNK_BYTES: False  # type: ignore[method-assign]

    async def fill() -> None:
        while True:
            await spool.append([alarm("one", b"x" * 1400)], [])

    with pytest.raises(SpoolFullError):
        await fill()
    count = (await spool.depth()).alarm
    assert count > 900
    assert spool.next_seq(Lane.ALARM) == count + 1
    await spool.acknowledge(Lane.ALARM, count // 2)
    await spool.append([alarm("after")], [])
    kept = await spool.outgoing(Lane.ALARM, count, 10)
    assert [seq for seq, _ in kept] == [count, count + 1]


async def test_an_alarm_that_finds_no_room_takes_it_from_readings(spool: Spool) -> None:
    await spool.append([], [(1, NOW + i, 1.0, 0) for i in range(60_000)])
    grown = spool.readings.database.size_bytes
    real, allowed = spool.facts.database.grow, [False]

    def grow(step: int = CHUNK_BYTES) -> bool:
        # The disk has room only after the readings gave some back.
        allowed[0] = spool.readings.database.size_bytes < grown
        return allowed[0] and real(step)

    spool.facts.database.grow = grow  # type: ignore[method-assign]
    for number in range(1500):
        await spool.append([alarm(str(number), b"x" * 1400)], [])
    assert allowed[0]
    assert (await spool.depth()).alarm == 1500
    assert (await spool.depth()).dropped_total > 0


async def test_two_processes_cannot_have_one_spool(spool: Spool, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from edge.spool import Spool; from edge.clock import SystemClock\n"
        f"Spool(Path({str(tmp_path / 'spool.db')!r}), limit_mb=8, clock=SystemClock())"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert SpoolLockedError.__name__ in done.stderr


async def test_readings_of_an_older_model_keep_its_birth_until_they_are_gone(spool: Spool) -> None:
    await spool.append([], [(1, NOW, 1.0, 0)])
    await spool.use_model(birth(2))
    await spool.append([], [(9, NOW, 2.0, 0)])
    assert [decode_birth_model(item) for item in await spool.births()] == [1, 2]
    first, second = await spool.form(Lane.DATA), await spool.form(Lane.DATA)
    assert first is not None
    assert second is not None
    assert [decode_data(payload).model for _, payload in (first, second)] == [1, 2]
    await spool.acknowledge(Lane.DATA, 1)
    assert [decode_birth_model(item) for item in await spool.births()] == [2]


def decode_birth_model(payload: bytes) -> int:
    with pytest.raises(ValueError, match="hash") as caught:
        decode_birth(payload)
    assert caught.type.__name__ == "ContractError"
    import msgspec

    return msgspec.msgpack.decode(payload, type=Birth).model


async def test_a_damaged_file_is_set_aside_and_begins_a_new_epoch(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"this is no database, it is a very long line of text indeed" * 100)
    spool = Spool(path, limit_mb=8, clock=FakeClock(NOW + 5))
    try:
        assert len(spool.damage) == 1
        assert (tmp_path / f"spool.db.broken-{NOW + 5}").exists()
        assert spool.epoch(Lane.ALARM) == NOW + 5
        await spool.append([alarm(), event("e")], [])
    finally:
        spool.close()


async def test_commands_are_remembered_for_a_day(spool: Spool) -> None:
    assert await spool.claim_command("c1", NOW, NOW + 1000)
    assert not await spool.claim_command("c1", NOW + 999, NOW + 2000)
    assert await spool.command_reply("c1") is None
    await spool.keep_reply("c1", b"done")
    assert await spool.command_reply("c1") == b"done"
    assert await spool.claim_command("c1", NOW + 1001, NOW + 2000)


_CHILD = """
import asyncio, sys
from pathlib import Path
from contract.messages import Birth
from edge.clock import SystemClock
from edge.spool import Spool
from tests.edge.test_spool import alarm, birth

async def main() -> None:
    spool = Spool(Path(sys.argv[1]), limit_mb=64, clock=SystemClock())
    await spool.use_model(birth())
    async def feed(unit: int) -> None:
        number = 0
        while True:
            value = unit * 1_000_000 + number
            await spool.append([alarm(str(value))] if number % 10 == 0 else [], [(unit, 1, float(value), 0)])
            print(value, flush=True)
            number += 1
    async with asyncio.TaskGroup() as tasks:
        for unit in range(8):
            tasks.create_task(feed(unit))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [30, 400, 1500])
async def test_kill_9_loses_nothing_that_was_delivered(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "spool.db"
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(  # noqa: ASYNC220 - starting takes a moment, reading is in a thread
        [sys.executable, "-c", _CHILD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        cwd=root,
    )
    assert child.stdout is not None
    told = [await asyncio.to_thread(child.stdout.readline) for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    told += await asyncio.to_thread(child.stdout.readlines)
    await asyncio.to_thread(child.wait)
    child.stdout.close()
    delivered = {int(line) for line in told if line.endswith("\n")}
    assert len(delivered) >= lines
    spool = Spool(path, limit_mb=64, clock=FakeClock())
    try:
        kept: list[int] = []
        while message := await spool.form(Lane.DATA):
            kept += [int(row[2] or 0) for row in decode_data(message[1]).readings]
        alarms = [
            int(decode_alarm(payload).alarm_id)
            for _, payload in await spool.outgoing(Lane.ALARM, 1, 100_000)
        ]
    finally:
        spool.close()
    assert delivered <= set(kept)
    assert len(kept) == len(set(kept))
    assert {value for value in delivered if value % 1_000_000 % 10 == 0} <= set(alarms)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB of its own, where the machine allows it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_when_others_fill_the_disk_every_reading_gives_way_before_one_alarm_is_refused(
    tiny_disk: Path,
) -> None:
    spool = Spool(tiny_disk / "spool.db", limit_mb=512, clock=FakeClock())
    await spool.use_model(birth())
    for _ in range(60):
        await spool.append([], [(1, NOW, 1.0, 0)] * 2000)
    with (tiny_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 65536):
            pass
    kept = 0
    with contextlib.suppress(SpoolFullError):
        while kept < 100_000:
            await spool.append([alarm(str(kept), b"x" * 1400)], [])
            kept += 1
    depth = await spool.depth()
    assert depth.live_readings == 0
    assert depth.alarm == kept > 1500
    spool.close()
    spool = Spool(tiny_disk / "spool.db", limit_mb=512, clock=FakeClock())
    assert (await spool.depth()).alarm == kept
    spool.close()
