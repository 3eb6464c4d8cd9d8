import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edge.drivers.gb26875.driver import KIND, Gb26875Driver
from edge.errors import DeviceRefusedError
from tests.edge.drivers.driver_peers import (
    Sink,
    Site,
    UitdPeer,
    component_state,
    running,
    site,
    tools,
    uitd_frame,
    until,
)

FIRE = component_state(0b10)
CONFIRM, DENY = 3, 6


def settings(**more: Any) -> Any:
    components = [
        {"id": f"smoke-{point}", "zone": 1, "point": point, "type": 40} for point in (1, 2)
    ]
    units = [
        {"id": "uitd-1", "address": 1001, "place": "b01", "components": components},
        {"id": "uitd-2", "address": 1002},
    ]
    entry = {
        "id": "listener-1",
        "kind": "gb26875",
        "listen": {"port": 0},
        "heartbeat_s": 20,
        "units": units,
        **more,
    }
    return KIND.settings.model_validate(entry)


@contextlib.asynccontextmanager
async def listening(sink: Sink, **more: Any) -> AsyncIterator[tuple[Gb26875Driver, Site]]:
    driver = Gb26875Driver(settings(**more), tools(sink))
    async with running(driver), site(await _port(driver)) as made:
        yield driver, made


async def _port(driver: Gb26875Driver) -> int:
    return await driver.listener.port()


def fires(sink: Sink, device: str = "smoke-1") -> list[Any]:
    return [item for item in sink.alarms(device, "fire") if item.is_active]


async def test_a_fire_is_confirmed_only_after_it_is_kept(sink: Sink) -> None:
    async with listening(sink) as (_, there):
        peer = await there.connect()
        sink.gate.clear()
        await peer.send(uitd_frame(FIRE, serial=9))
        await until(lambda: sink.waiting)
        answer = asyncio.ensure_future(peer.answer_to(9))
        await asyncio.sleep(0.05)
        assert not answer.done()
        sink.gate.set()
        assert await answer == CONFIRM
        (fire,) = fires(sink)
        assert fire.is_test


async def test_a_full_disk_means_no_confirmation_and_the_resend_is_kept(sink: Sink) -> None:
    async with listening(sink) as (driver, there):
        peer = await there.connect()
        sink.is_full = True
        await peer.send(uitd_frame(FIRE, serial=9))
        await until(lambda: driver.counters.not_kept)
        sink.is_full = False
        await peer.send(uitd_frame(FIRE, serial=9) + uitd_frame(serial=10))
        # The heartbeat's confirmation comes after that of the resend, and none came for the first.
        assert await peer.answer_to(9) == CONFIRM
        assert await peer.answer_to(10) == CONFIRM
    assert len(fires(sink)) == 1
    assert len(sink.events("link_up", "uitd-1")) == 1


async def test_a_resend_is_confirmed_again_but_kept_once_also_over_a_new_connection(
    sink: Sink,
) -> None:
    async with listening(sink) as (_, there):
        for _ in range(2):
            peer = await there.connect()
            for _ in range(2):
                await peer.send(uitd_frame(FIRE, serial=9))
                assert await peer.answer_to(9) == CONFIRM
    assert len(fires(sink)) == 1


async def test_frames_arrive_whole_whether_glued_together_or_cut_at_every_byte(sink: Sink) -> None:
    async with listening(sink) as (_, there):
        peer = await there.connect()
        second = uitd_frame(component_state(0b10, point=2), serial=2)
        await peer.send(uitd_frame(FIRE, serial=1) + second)
        assert await peer.answer_to(1) == CONFIRM
        assert await peer.answer_to(2) == CONFIRM
        for byte in uitd_frame(component_state(0b11, second=40), serial=3):
            await peer.send(bytes((byte,)))
        assert await peer.answer_to(3) == CONFIRM
    assert len(fires(sink)) == 2
    assert len(fires(sink, "smoke-2")) == 1


async def test_a_damaged_frame_is_denied_and_the_next_one_counts(sink: Sink) -> None:
    async with listening(sink) as (driver, there):
        peer = await there.connect()
        good = uitd_frame(FIRE, serial=4)
        await peer.send(good[:-3] + bytes((good[-3] ^ 1,)) + good[-2:])
        assert await peer.answer_to(4) == DENY
        await peer.send(good)
        assert await peer.answer_to(4) == CONFIRM
    assert driver.counters.damaged == 1
    assert len(fires(sink)) == 1


async def test_an_address_that_is_not_configured_is_denied_and_dropped(sink: Sink) -> None:
    async with listening(sink) as (driver, there):
        for _ in range(3):
            peer = await there.connect()
            await peer.send(uitd_frame(FIRE, serial=4, source=666))
            assert await peer.answer_to(4) == DENY
            assert await peer.is_closed()
    assert driver.counters.unknown_sources == 3
    assert not sink.seen


async def test_a_new_connection_replaces_the_old_one(sink: Sink) -> None:
    async with listening(sink) as (driver, there):
        old = await there.connect()
        await old.send(uitd_frame(serial=1))
        await old.answer_to(1)
        new = await there.connect()
        await new.send(uitd_frame(serial=2))
        await new.answer_to(2)
        assert await old.is_closed()
        await new.send(uitd_frame(FIRE, serial=3))
        assert await new.answer_to(3) == CONFIRM
        await until(lambda: driver.listener.open_connections == 1)
    assert len(sink.events("link_up", "uitd-1")) == 1
    assert not sink.events("link_down", "uitd-1")


async def test_a_stranger_with_a_devices_number_cannot_cut_it_off(sink: Sink) -> None:
    async with listening(sink) as (driver, there):
        real = await there.connect()
        await real.send(uitd_frame(serial=1))
        await real.answer_to(1)
        stranger = await there.connect(local="127.0.0.2")
        await stranger.send(uitd_frame(FIRE, serial=2))
        assert await stranger.answer_to(2) == CONFIRM, "what may be a fire is kept"
        await real.send(uitd_frame(serial=3))
        assert await real.answer_to(3) == CONFIRM
        assert driver.counters.contested == 1
        assert driver.listener.open_connections == 2


async def test_one_connection_may_speak_for_two_devices(sink: Sink) -> None:
    async with listening(sink) as (_, there):
        peer = await there.connect()
        for serial, source in ((1, 1001), (2, 1002), (3, 1001)):
            await peer.send(uitd_frame(serial=serial, source=source))
            assert await peer.answer_to(serial) == CONFIRM
    assert len(sink.events("link_up")) == 2


async def test_a_device_that_falls_silent_is_gone_once_and_back_once(sink: Sink) -> None:
    async with listening(sink, heartbeat_s=0.2) as (_, there):
        await until(lambda: sink.events("link_down", "uitd-2"))
        peer = await there.connect()
        await peer.send(uitd_frame(serial=1))
        await peer.answer_to(1)
        assert await peer.is_closed()
        await until(lambda: sink.events("link_up", "uitd-1"))
        seen = len(sink.events("link_down", "uitd-1"))
        await until(lambda: len(sink.events("link_down", "uitd-1")) > 0)
    assert seen <= 1
    assert len(sink.events("link_down", "uitd-2")) == 1


async def test_dripping_bytes_keep_no_connection(sink: Sink) -> None:
    async with listening(sink, heartbeat_s=0.1) as (driver, there):
        peer = await there.connect()
        with pytest.raises(ConnectionError):
            await drip(peer)
        await until(lambda: driver.listener.open_connections == 0)


async def drip(peer: UitdPeer) -> None:
    async with asyncio.timeout(30):
        while True:
            await peer.send(b"@")
            await asyncio.sleep(0.01)


async def test_random_bytes_harm_nobody_and_noise_without_end_is_cut_off(sink: Sink) -> None:
    chance = random.Random(26875)
    async with listening(sink) as (driver, there):
        peer = await there.connect()
        good = uitd_frame(FIRE, serial=9)
        for _ in range(30):
            junk = bytearray(chance.randbytes(40) + good)
            junk[chance.randrange(40, len(junk))] ^= 1 << chance.randrange(8)
            await peer.send(bytes(junk))
        await peer.send(good)
        assert await peer.answer_to(9) in {CONFIRM, DENY}
        await until(lambda: fires(sink))
        noisy = await there.connect()
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                await noisy.send(b"@@\x01\x01" * 1024)
        assert await noisy.is_closed()
        await until(lambda: driver.listener.open_connections == 1)
    assert len(fires(sink)) == 1


async def test_states_are_asked_for_at_connect_so_that_every_detector_becomes_live(
    sink: Sink,
) -> None:
    async with listening(sink) as (_, there):
        peer = await there.connect()
        await peer.send(uitd_frame(serial=500))
        asked: tuple[int, bytes] | None = None
        while asked is None:
            serial, command, app = await peer.frame()
            if command == 4:
                asked = (serial, app)
        assert asked[1] == bytes((62, 2, 1, 1, 1, 0, 1, 0, 1, 1, 1, 0, 2, 0))
        state = component_state(1)[2:] + component_state(0b11, point=2)[2:]
        await peer.send(uitd_frame(bytes((2, 2)) + state, serial=asked[0], command=5))
        await until(lambda: fires(sink, "smoke-2"))
    assert sink.readings("smoke-1", "component_state")[0].value == 1
    assert [item.is_active for item in sink.alarms("smoke-1", "fire")] == [False]


async def test_a_request_without_an_answer_is_repeated_and_asked_again_later(sink: Sink) -> None:
    timing = {"answer_timeout_s": 0.05, "answer_retries": 1, "refresh_s": 0.5}
    async with listening(sink, **timing) as (driver, there):
        peer = await there.connect()
        await peer.send(uitd_frame(serial=500))
        asked: list[int] = []
        while len(asked) < 4:
            serial, command, app = await peer.frame()
            if command == 4 and app[0] == 62:
                asked.append(serial)
    assert asked[0] == asked[1] != asked[2] == asked[3]
    assert driver.counters.unanswered >= 1


async def test_a_wrong_clock_is_set_and_then_left_alone(sink: Sink) -> None:
    async with listening(sink) as (_, there):
        peer = await there.connect()
        for serial in (500, 501, 502):
            await peer.send(uitd_frame(serial=serial))
        orders = []
        confirmed: list[int] = []
        while confirmed != [500, 501, 502]:
            serial, command, app = await peer.frame()
            if command == CONFIRM:
                confirmed.append(serial)
            elif command == 1:
                orders.append(app)
    assert len(orders) == 1
    assert orders[0][:2] == bytes((90, 1))
    assert len(orders[0]) == 8


async def test_a_flood_of_connections_does_not_keep_a_device_out(sink: Sink) -> None:
    async with listening(sink, connections_per_ip=8, connections=8) as (driver, there):
        known = await there.connect()
        await known.send(uitd_frame(serial=1))
        await known.answer_to(1)
        flood = [await there.connect() for _ in range(40)]
        late = await there.connect()
        await late.send(uitd_frame(serial=2, source=1002))
        assert await late.answer_to(2) == CONFIRM
        await known.send(uitd_frame(FIRE, serial=3))
        assert await known.answer_to(3) == CONFIRM
        assert driver.listener.open_connections <= 8
        for peer in flood:
            await peer.close()
    assert len(fires(sink)) == 1


async def test_requests_of_a_device_that_we_do_not_serve_are_denied(sink: Sink) -> None:
    async with listening(sink) as (_, there):
        peer = await there.connect()
        await peer.send(uitd_frame(bytes((90, 1, 0)), serial=1, command=4))
        assert await peer.answer_to(1) == DENY
        await peer.send(uitd_frame(b"\x80\x01\x00", serial=2, command=200))
        assert await peer.answer_to(2) == CONFIRM


async def test_births_put_the_detectors_behind_their_device_and_outputs_are_refused(
    sink: Sink,
) -> None:
    driver = Gb26875Driver(settings(), tools(sink))
    births = {birth.id: birth for birth in driver.devices()}
    assert (births["uitd-1"].kind, births["smoke-1"].kind) == ("uitd", "smoke")
    assert births["smoke-1"].gateway == "uitd-1"
    assert {spec.device_id for spec in driver.metrics()} == set(births)
    with pytest.raises(DeviceRefusedError):
        await driver.write("smoke-1", "sounder_on", 1)
