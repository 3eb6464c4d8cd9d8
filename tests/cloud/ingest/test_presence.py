"""Edges come and go: by their word, by their will, by silence; never by a quiet night."""

from cloud.ingest.presence import ASK_AFTER_MS, SILENT_MS, Presence, Turn
from contract.messages import State

ON, OFF = State(online=True, boot=1, at=5), State(online=False, boot=1, at=1)
CAME, WENT = Turn("a", is_online=True), Turn("a", is_online=False)


def test_a_silent_edge_is_asked_before_it_is_called_gone() -> None:
    presence = Presence()
    assert presence.state("a", ON, 0, 100) == CAME
    assert not presence.tick(ASK_AFTER_MS - 1).ask
    assert presence.tick(ASK_AFTER_MS).ask == ["a"]
    assert presence.heard("a", ASK_AFTER_MS + 1, 200) is None
    assert not presence.tick(SILENT_MS).turns
    assert presence.tick(ASK_AFTER_MS + 1 + SILENT_MS).turns == [WENT]
    assert not presence.tick(10 * SILENT_MS).turns
    assert presence.heard("a", 10 * SILENT_MS, 300) == CAME


def test_a_will_counts_at_once_whatever_its_stamp() -> None:
    presence = Presence()
    presence.state("a", ON, 0, 100)
    assert presence.state("a", OFF, 1, 200) == WENT
    assert presence.state("a", OFF, 2, 300) is None


def test_readings_that_came_before_the_will_do_not_take_it_back() -> None:
    presence = Presence()
    presence.state("a", ON, 0, 100)
    presence.state("a", OFF, 1, 200)
    assert presence.heard("a", 2, 200) is None
    assert presence.heard("a", 3, 201) == CAME


def test_a_will_of_an_older_connection_is_taken_back_by_the_next_message() -> None:
    presence = Presence()
    presence.state("a", ON, 0, 100)
    assert presence.state("a", OFF, 1, 101) == WENT
    assert presence.state("a", ON, 2, 101) == CAME


def test_after_our_own_deafness_silences_begin_anew() -> None:
    presence = Presence()
    presence.restore("a", is_online=True, now=0)
    presence.hold(SILENT_MS - 1)
    assert not presence.tick(SILENT_MS + 1).turns
    assert presence.tick(2 * SILENT_MS).turns == [WENT]


def test_an_edge_that_is_only_known_from_a_file_is_no_outage() -> None:
    presence = Presence()
    assert presence.tick(10 * SILENT_MS).turns == []
