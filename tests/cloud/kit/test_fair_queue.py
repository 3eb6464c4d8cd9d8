"""One edge's flood of births or events neither delays nor displaces the fire of another."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.kit.fair_queue import SHARES, FairQueue
from cloud.kit.mqtt import Arrival, Inbox


def said(edge: str, number: int, size: int = 10, channel: str = "up/event") -> Arrival:
    return Arrival(f"linli/1/00/{edge}/{channel}", number.to_bytes(size, "big"), 0)


def test_a_fire_behind_a_flood_of_another_edge_comes_at_once() -> None:
    inbox = Inbox(urgent_limit=800)
    inbox.put([said("loud", n) for n in range(5_000)])
    fire = said("calm", 1, channel="up/alarm")
    inbox.put([fire])
    assert fire in inbox.take_urgent(2)
    assert inbox.waiting[0] <= 800 / SHARES


def test_a_flood_of_bytes_leaves_room_for_others() -> None:
    queue: FairQueue[Arrival] = FairQueue(1_000, 80_000)
    queue.put([said("loud", n, 8_000) for n in range(20)])
    queue.put([said("calm", n, 100) for n in range(50)])
    taken = queue.take(1_000)
    assert len([item for item in taken if "calm" in item.topic]) == 50


def test_one_large_birth_fits_though_it_is_more_than_a_share() -> None:
    queue: FairQueue[Arrival] = FairQueue(100, 10_000)
    queue.put([said("new", 1, 9_000), said("new", 2, 500)])
    assert len(queue.take(9)) == 1
    queue.put([said("new", 2, 500)])
    assert len(queue.take(9)) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=120),
    st.integers(1, 40),
)
def test_each_sender_keeps_its_order_and_all_bounds_hold(
    sizes: list[tuple[str, int]], most: int
) -> None:
    queue: FairQueue[Arrival] = FairQueue(60, 4_000)
    taken: list[Arrival] = []
    for number, (edge, size) in enumerate(sizes):
        queue.put([said(edge, number % 250, size)])
        assert len(queue) <= 60
        if number % 50 == 49:
            taken += queue.take(most)
    while found := queue.take(most):
        taken += found
    assert len(queue) == 0
    assert len(taken) + queue.dropped == len(sizes)
    for edge in "abc":
        mine = [item.payload for item in taken if f"/{edge}/" in item.topic]
        kept = iter(number % 250 for number, (name, _) in enumerate(sizes) if name == edge)
        assert all(int.from_bytes(payload, "big") in kept for payload in mine)
