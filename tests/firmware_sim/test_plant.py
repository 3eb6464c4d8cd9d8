from random import Random

import pytest

from firmware_sim.plant import HydrantPipe, KitchenAir, Plant, WaterTank

DAY = 86_400
START = 1_401_033_600.0  # midnight in Shenzhen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [(KitchenAir, 0.0, 2.0), (HydrantPipe, 280, 400), (WaterTank, 2.0, 3.1)],
)
def test_a_quiet_day_stays_within_what_is_usual(
    kind: type[KitchenAir | HydrantPipe | WaterTank], low: float, high: float, seed: int
) -> None:
    plant = kind(Random(seed))
    day = [plant.value(START + minute * 60) for minute in range(DAY // 60)]
    assert low <= min(day)
    assert max(day) <= high
    assert not any(plant.is_reached(value) for value in day)
    assert max(day) > min(day)


@pytest.mark.parametrize("kind", [KitchenAir, HydrantPipe, WaterTank])
def test_an_incident_crosses_its_limit_within_ten_seconds_and_can_end(kind: type[Plant]) -> None:
    plant = kind(Random(1))  # type: ignore[call-arg]
    plant.value(START)
    plant.begin(START)
    values = [plant.value(START + step / 10) for step in range(1, 101)]
    assert not plant.is_reached(values[2]), "it takes its time"
    assert plant.is_reached(values[-1])
    plant.end(START + 10)
    assert not plant.is_reached(plant.value(START + 400))


@pytest.mark.parametrize("kind", [KitchenAir, HydrantPipe, WaterTank])
def test_an_incident_has_a_bottom_or_a_ceiling(kind: type[Plant]) -> None:
    plant = kind(Random(1))  # type: ignore[call-arg]
    plant.begin(START)
    last = plant.value(START + DAY)
    assert plant.is_reached(last)
    assert 0 <= last <= 65


def test_the_same_seed_gives_the_same_day() -> None:
    first, second = HydrantPipe(Random("a")), HydrantPipe(Random("a"))
    times = [START + hour * 3600 for hour in range(24)]
    assert [first.value(at) for at in times] == [second.value(at) for at in times]
