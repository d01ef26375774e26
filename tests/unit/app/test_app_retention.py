"""What is kept of finished tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.app.retention import chosen
from multiagent.cli.keeping import milliseconds, size
from multiagent.core.errors import InvalidInput
from multiagent.storage.sql.base import TaskWeight

WEIGHTS = st.lists(st.builds(TaskWeight, st.text(max_size=3), st.integers(0, 100), st.integers(0, 50)), max_size=20)
BOUND = st.none() | st.integers(0, 300)


@given(WEIGHTS, BOUND, BOUND)
def test_what_stays_is_young_enough_and_small_enough(
    weights: list[TaskWeight], older: int | None, most: int | None
) -> None:
    """And nothing goes that both bounds would have let stay: the youngest of those that go for size were needed."""
    going = chosen(weights, 100, older, most)
    staying = [one for one in weights if one not in going]
    if older is not None:
        assert all(100 - one.updated <= older for one in staying)
    if most is not None:
        assert sum(one.bytes for one in staying) <= most
    for one in going:
        old = older is not None and 100 - one.updated > older
        assert old or (most is not None and sum(two.bytes for two in weights) > most)
    if older is None and most is None:
        assert going == []


def test_the_oldest_go_first() -> None:
    weights = [TaskWeight(name, 0, 10) for name in "abc"]
    assert [one.id for one in chosen(weights, 0, None, 15)] == ["a", "b"]


@pytest.mark.parametrize(("text", "found"), [("90m", 5_400_000), ("12h", 43_200_000), ("30d", 2_592_000_000)])
def test_ages(text: str, found: int) -> None:
    assert milliseconds(text) == found


@pytest.mark.parametrize(("text", "found"), [("500", 500), ("5kB", 5_000), ("500MB", 500_000_000), ("2 GB", 2 * 10**9)])
def test_sizes(text: str, found: int) -> None:
    assert size(text) == found


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "3y", "1.5d"])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="30d"):
        milliseconds(text)


@pytest.mark.parametrize("text", ["", "MB", "-5", "5TB", "1.5MB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="bytes"):
        size(text)
