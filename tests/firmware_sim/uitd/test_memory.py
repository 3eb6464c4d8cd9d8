from firmware_sim.uitd.memory import EVENTS_KEPT, Memory


def test_what_is_not_sent_yet_is_not_confirmed() -> None:
    memory = Memory()
    packet = memory.keep(b"a", is_event=True)
    assert not memory.confirm(packet.serial)
    packet.tries = 1
    assert memory.confirm(packet.serial)
    assert len(memory) == 0


def test_events_outlive_a_connection_and_reports_do_not() -> None:
    memory = Memory()
    memory.keep(b"report", is_event=False)
    event = memory.keep(b"event", is_event=True)
    event.tries, event.due_s = 3, 99.0
    memory.begin_session()
    assert [(p.app, p.tries, p.due_s) for p in memory] == [(b"event", 0, 0.0)]


def test_a_full_memory_gives_up_everything_before_a_fire() -> None:
    memory = Memory()
    memory.keep(b"fire", is_event=True, is_fire=True)
    for _ in range(EVENTS_KEPT):
        memory.keep(b"normal", is_event=True)
    assert len(memory) == EVENTS_KEPT
    assert next(iter(memory)).app == b"fire"
    assert memory.dropped == 1


def test_a_serial_in_use_is_not_given_twice() -> None:
    memory = Memory()
    first = memory.keep(b"a", is_event=True).serial
    given = {memory.next_serial() for _ in range(70_000)}
    assert first not in given
    assert 0 not in given
