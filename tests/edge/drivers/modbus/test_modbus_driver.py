from contextlib import AsyncExitStack
from typing import Any

import pytest

from contract.messages import Quality
from edge.driver import DeviceAlarm, Reading
from edge.drivers.modbus.driver import KIND, ModbusDriver
from edge.drivers.modbus.settings import ModbusDevice, load_model
from edge.drivers.modbus.unit import Unit
from edge.errors import DeviceRefusedError, DeviceUnavailableError
from tests.edge.drivers.driver_peers import MODELS, ModbusPeer, Sink, running, tools, until

GAS, STATUS, VALVE, SOUNDER = (3, 0), (3, 1), (1, 0), (1, 1)


def device(unit: int, **more: object) -> dict[str, object]:
    return {
        "id": f"gas-{unit}",
        "unit": unit,
        "model": "gas-lel-simple",
        "every_s": 0.1,
        "place": "b01",
        **more,
    }


def driver(sink: Sink, peer: ModbusPeer, *devices: dict[str, object], **more: Any) -> ModbusDriver:
    entry = {
        "id": "line-1",
        "kind": "modbus",
        "link": {
            "type": "rtu_over_tcp" if peer.is_rtu else "tcp",
            "host": "127.0.0.1",
            "port": peer.port,
        },
        "timeout_s": 0.2,
        "gap_s": 0.001,
        "dead_every_s": 0.5,
        "devices": list(devices),
        **more,
    }
    return ModbusDriver(KIND.settings.model_validate(entry), tools(sink))


@pytest.mark.parametrize("is_rtu", [True, False], ids=["rtu over tcp", "tcp"])
async def test_readings_outputs_and_links_come_from_both_framings(sink: Sink, is_rtu: bool) -> None:
    peer = ModbusPeer(is_rtu=is_rtu)
    peer.words |= {(1, *GAS): 217, (1, *VALVE): 1}
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: len(sink.readings("gas-1", "gas_lel_pct")) > 3)
    assert {item.value for item in sink.readings("gas-1", "gas_lel_pct")} == {21.7}
    assert {item.value for item in sink.readings("gas-1", "valve_open")} == {1.0}
    assert len(sink.events("link_up", "gas-1")) == len(sink.events("link_up", "line-1")) == 1


async def test_births_name_the_line_as_gateway(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.port = 1
    births = driver(sink, peer, device(1)).devices()
    assert [(birth.id, birth.kind, birth.gateway) for birth in births] == [
        ("line-1", "line", ""),
        ("gas-1", "gas", "line-1"),
    ]
    specs = {spec.metric: spec for spec in driver(sink, peer, device(1)).metrics()}
    assert set(specs) == {"gas_lel_pct", "valve_open", "sounder_on"}
    assert (specs["gas_lel_pct"].low, specs["gas_lel_pct"].high) == (0, 100)


async def test_a_dead_unit_is_told_once_and_does_not_slow_its_neighbour(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.dead.add(2)
    async with peer.serving(), running(driver(sink, peer, device(1), device(2), dead_every_s=600)):
        await until(lambda: sink.events("link_down", "gas-2"))
        asked = [item for item in peer.asked if item[0] == 2]
        await until(lambda: len(sink.readings("gas-1", "gas_lel_pct")) > 40)
        assert [item for item in peer.asked if item[0] == 2] == asked
    assert len(sink.events("link_down")) == 1
    assert not sink.events("link_up", "gas-2")
    # One repeat for a unit that is not known to fail, none afterwards: 2 + 1 + 1 requests.
    assert len(asked) == 4
    assert peer.connections == 1


async def test_a_unit_that_comes_back_is_told_once(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.dead.add(2)
    async with peer.serving(), running(driver(sink, peer, device(1), device(2))):
        await until(lambda: sink.events("link_down", "gas-2"))
        peer.dead.clear()
        await until(lambda: len(sink.readings("gas-2", "gas_lel_pct")) > 3)
    assert len(sink.events("link_up", "gas-2")) == 1


async def test_alarm_registers_are_told_on_and_off_and_at_the_first_look(sink: Sink) -> None:
    peer = ModbusPeer()
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: sink.alarms("gas-1", "fault"))
        peer.words[1, *STATUS] = 3
        await until(lambda: len(sink.alarms("gas-1", "fault")) > 1)
        peer.words[1, *STATUS] = 2
        await until(lambda: len(sink.alarms("gas-1", "gas")) > 1)
    assert [item.is_active for item in sink.alarms("gas-1", "fault")] == [False, True, False]
    assert [item.is_active for item in sink.alarms("gas-1", "gas")] == [False, True]
    assert sink.alarms("gas-1", "fault")[1].detail["value"] == 3


async def test_an_alarm_that_the_disk_refused_is_told_again(sink: Sink) -> None:
    peer = ModbusPeer()
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: sink.alarms("gas-1", "gas"))
        sink.is_full = True
        peer.words[1, *STATUS] = 2
        asked = len(peer.asked)
        await until(lambda: len(peer.asked) > asked + 6)
        sink.is_full = False
        await until(lambda: len(sink.alarms("gas-1", "gas")) > 1)
    assert sink.alarms("gas-1", "gas")[-1].is_active


async def test_alarms_come_before_the_readings_of_the_same_poll(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.words |= {(1, *GAS): 300, (1, *STATUS): 2}
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: sink.readings("gas-1", "gas_lel_pct"))
    kinds = [type(item) for item in sink.seen]
    assert kinds.index(DeviceAlarm) < kinds.index(Reading)


async def test_refused_registers_are_a_sensor_fault_not_silence(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.exceptions[1] = 4
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: sink.readings("gas-1", "gas_lel_pct"))
        peer.exceptions[1] = 11
        await until(lambda: sink.events("link_down", "gas-1"))
    assert sink.readings("gas-1", "gas_lel_pct")[0].quality is Quality.SENSOR_FAULT
    assert sink.readings("gas-1", "gas_lel_pct")[0].value is None
    assert sink.alarms("gas-1", "fault")[0].is_active


async def test_noise_and_late_answers_of_others_spoil_no_reading(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.words |= {(unit, *GAS): 100 * unit for unit in (1, 2)}
    peer.noise[1] = b"\xff\x00\x02\x03"
    async with peer.serving(), running(driver(sink, peer, device(1), device(2))):
        await until(lambda: len(sink.readings("gas-2", "gas_lel_pct")) > 2)
        # The peer answers in order, so a late answer of unit 2 reaches us while unit 1 is being asked.
        peer.late[2] = 0.3
        seen = len(sink.readings("gas-1", "gas_lel_pct"))
        await until(lambda: len(sink.readings("gas-1", "gas_lel_pct")) > seen + 3)
    assert {item.value for item in sink.readings("gas-1", "gas_lel_pct")} == {10.0}
    assert {item.value for item in sink.readings("gas-2", "gas_lel_pct")} == {20.0}


async def test_an_output_is_set_and_confirmed_by_reading_it_back(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.words[1, *VALVE] = 1
    async with peer.serving(), AsyncExitStack() as stack:
        made = driver(sink, peer, device(1, every_s=600))
        await stack.enter_async_context(running(made))
        await until(lambda: sink.readings("gas-1", "valve_open"))
        await made.write("gas-1", "valve_open", 0)
        assert peer.words[1, *VALVE] == 0
        assert sink.readings("gas-1", "valve_open")[-1].value == 0
        peer.stuck.add((1, SOUNDER[1]))
        with pytest.raises(DeviceRefusedError, match="keeps sounder_on"):
            await made.write("gas-1", "sounder_on", 1)
        with pytest.raises(DeviceRefusedError, match="no output"):
            await made.write("gas-1", "gas_lel_pct", 1)
        peer.dead.add(1)
        with pytest.raises(DeviceUnavailableError):
            await made.write("gas-1", "valve_open", 1)


async def test_a_dropped_connection_is_opened_again_and_nobody_is_told(sink: Sink) -> None:
    peer = ModbusPeer()
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: sink.events("link_up", "gas-1"))
        for writer in list(peer.writers):
            writer.close()
        await until(lambda: peer.connections > 1)
        seen = len(sink.readings("gas-1", "gas_lel_pct"))
        await until(lambda: len(sink.readings("gas-1", "gas_lel_pct")) > seen)
    assert not sink.events("link_down")
    assert len(sink.events("link_up", "gas-1")) == len(sink.events("link_up", "line-1")) == 1


async def test_a_line_on_which_nobody_answers_is_opened_anew(sink: Sink) -> None:
    peer = ModbusPeer()
    peer.dead.add(1)
    async with peer.serving(), running(driver(sink, peer, device(1))):
        await until(lambda: peer.connections > 1)
    assert len(sink.events("link_down", "gas-1")) == 1


async def test_a_line_that_never_opens_is_told_and_writes_fail(sink: Sink) -> None:
    peer = ModbusPeer()
    async with peer.serving():
        pass
    made = driver(sink, peer, device(1))
    async with running(made):
        await until(lambda: sink.events("link_down", "line-1"))
        with pytest.raises(DeviceUnavailableError):
            await made.write("gas-1", "valve_open", 0)
    assert not sink.events("link_down", "gas-1")


def test_polls_keep_their_grid_and_missed_turns_are_left_out() -> None:
    settings = ModbusDevice.model_validate(device(1, every_s=2))
    made = Unit(settings, load_model(MODELS, "gas-lel-simple"), "line-1")
    made.due_s = 100.0
    for now, due in ((100.3, 102.0), (102.9, 104.0), (109.1, 110.0), (110.0, 112.0)):
        made.schedule(now, 2.0)
        assert made.due_s == pytest.approx(due)
