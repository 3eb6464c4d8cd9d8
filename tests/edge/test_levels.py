from hypothesis import given
from hypothesis import strategies as st

from edge.levels import AlarmLevels


def tell(levels: AlarmLevels, source: int, is_active: bool, *, insists: bool = False) -> bool:
    staged = levels.stage()
    is_told = staged.change("a", "fire", source, is_active=is_active, insists=insists)
    staged.commit()
    return is_told


def test_only_changes_are_told_after_the_first_look() -> None:
    levels = AlarmLevels()
    assert tell(levels, 1, False)
    assert not tell(levels, 1, False)
    assert tell(levels, 1, True)
    assert not tell(levels, 1, True)
    assert tell(levels, 1, True, insists=True)
    assert tell(levels, 1, False)


def test_an_alarm_of_two_sources_is_off_when_both_are() -> None:
    levels = AlarmLevels()
    assert tell(levels, 1, True)
    assert tell(levels, 2, True)
    assert not tell(levels, 1, False)
    assert levels.is_active("a", "fire")
    assert tell(levels, 2, False)


def test_what_is_not_committed_is_told_again() -> None:
    levels = AlarmLevels()
    assert levels.stage().change("a", "fire", 1, is_active=True)
    assert levels.stage().change("a", "fire", 1, is_active=True)
    assert not levels.is_active("a", "fire")


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=30))
def test_whoever_hears_only_what_is_told_knows_the_level(
    steps: list[tuple[int, bool, bool]],
) -> None:
    levels = AlarmLevels()
    heard, real = False, set[int]()
    for source, is_active, insists in steps:
        if is_active:
            real.add(source)
        else:
            real.discard(source)
        if tell(levels, source, is_active, insists=insists):
            heard = is_active
        assert heard == bool(real)
