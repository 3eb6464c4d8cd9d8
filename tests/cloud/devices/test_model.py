"""Three facts and one word: unknown never passes for normal."""

from itertools import product

import pytest

from cloud.devices.model import (
    Device,
    Edge,
    LinkFact,
    LinkState,
    Liveness,
    Place,
    PlaceKind,
    ValueState,
    link_fact,
    liveness,
    place_names,
    position,
    value_state,
)


def edge(*, is_online: bool | None = True) -> Edge:
    return Edge("e", "", is_online, 5, None, None, None, "", None, 0)


def device(name: str, gateway: str = "", link: LinkState = LinkState.UP, **more: object) -> Device:
    return Device(name, "e", "smoke", "m", name, "b01/f01", gateway, 60.0, 0, link=link, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("measured_at", "state"),
    [
        (None, ValueState.UNKNOWN),
        (100_000, ValueState.FRESH),
        (85_000, ValueState.FRESH),
        (84_999, ValueState.STALE),
        (105_000, ValueState.FRESH),
        (105_001, ValueState.UNKNOWN),
    ],
)
def test_a_value_is_fresh_for_three_periods_and_never_from_the_future(
    measured_at: int | None, state: ValueState
) -> None:
    assert value_state(measured_at, has_metrics=True, period_s=1.0, now=100_000) is state
    assert value_state(measured_at, has_metrics=False, period_s=1.0, now=1) is ValueState.NONE


@pytest.mark.parametrize("is_online", [False, None])
def test_behind_an_edge_that_is_not_there_nothing_is_known(is_online: bool | None) -> None:
    fact = link_fact(device("d"), {}, {"e": edge(is_online=is_online)})
    assert (fact.state, fact.via) == (LinkState.UNKNOWN, "e")


def test_behind_a_broken_gateway_a_detector_is_unknown_not_down() -> None:
    devices = {
        "g": device("g", link=LinkState.DOWN),
        "d": device("d", "g"),
        "below": device("below", "d"),
    }
    assert link_fact(devices["g"], devices, {"e": edge()}).state is LinkState.DOWN
    fact = link_fact(devices["d"], devices, {"e": edge()})
    assert (fact.state, fact.via) == (LinkState.UNKNOWN, "g")


def test_an_edge_node_is_itself_a_device_with_its_connection_as_its_link() -> None:
    fact = link_fact(device("e"), {}, {"e": edge()})
    assert fact.state is LinkState.UP
    assert liveness(ValueState.NONE, fact) is Liveness.LIVE
    assert link_fact(device("e"), {}, {"e": edge(is_online=False)}).state is LinkState.UNKNOWN


def test_gateways_in_a_circle_end() -> None:
    devices = {"a": device("a", "b"), "b": device("b", "a")}
    assert link_fact(devices["a"], devices, {"e": edge()}).state is LinkState.UP


def test_only_what_is_proven_is_live() -> None:
    for value, state, via in product(ValueState, LinkState, ("", "gateway")):
        word = liveness(value, LinkFact(state, None, "", via))
        if word is Liveness.LIVE:
            assert state is not LinkState.DOWN
            assert value in {ValueState.FRESH, ValueState.NONE}
            assert state is LinkState.UP or (value is ValueState.FRESH and not via)
        if state is LinkState.DOWN:
            assert word is Liveness.DOWN


def test_places_are_named_from_large_to_small_in_chinese_and_back_in_english() -> None:
    places = {
        "b01": Place("b01", PlaceKind.BUILDING, "1号楼", "Building 1", 10, 20),
        "b01/f01": Place("b01/f01", PlaceKind.FLOOR, "1层", "F1"),
    }
    assert place_names("b01/f01/r9", places) == ("1号楼 1层 r9", "r9, F1, Building 1")
    assert place_names("", places) == ("", "")
    assert position(device("d"), places) == (10, 20)
    assert position(device("d", x=1.0, y=2.0), places) == (1.0, 2.0)
