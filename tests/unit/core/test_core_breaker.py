"""The circuit breaker and the backoff, as pure state machines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.breaker import Breaker, BreakerPolicy, State
from multiagent.core.errors import BreakerOpen
from multiagent.core.retry import Backoff, retries_within

POLICY = BreakerPolicy(max_requests=2, interval=60, timeout=10, max_failures=3)


def _opened() -> Breaker:
    breaker = Breaker("v", POLICY)
    for _ in range(3):
        breaker.after(breaker.before(0), success=False, now=0)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """A success in between starts the count again."""
    breaker = Breaker("v", POLICY)
    for good in (False, False, True, False, False):
        breaker.after(breaker.before(0), success=good, now=0)
    assert breaker.state(0) == "closed"
    breaker.after(breaker.before(0), success=False, now=0)
    with pytest.raises(BreakerOpen, match="10 s"):
        breaker.before(0)


def test_it_lets_a_few_through_after_its_timeout_and_closes_when_they_succeed() -> None:
    """Half-open admits max_requests; all must succeed."""
    breaker = _opened()
    first, second = breaker.before(10), breaker.before(10)
    with pytest.raises(BreakerOpen):
        breaker.before(10)
    breaker.after(first, success=True, now=11)
    assert breaker.state(11) == "half_open"
    breaker.after(second, success=True, now=11)
    assert breaker.state(11) == "closed"


def test_one_failure_while_half_open_opens_it_again() -> None:
    """And the timeout starts anew."""
    breaker = _opened()
    breaker.after(breaker.before(10), success=False, now=12)
    assert breaker.state(21.9) == "open"
    assert breaker.state(22) == "half_open"


def test_results_of_an_earlier_generation_are_ignored() -> None:
    """A call that began before the breaker opened cannot close it, or open it again."""
    breaker = Breaker("v", POLICY)
    old = breaker.before(0)
    for _ in range(3):
        breaker.after(breaker.before(0), success=False, now=0)
    assert breaker.state(10) == "half_open"
    breaker.after(old, success=False, now=10)
    assert breaker.state(10) == "half_open"


def test_an_abandoned_call_gives_its_place_back() -> None:
    """A cancelled trial call does not block the half-open state for ever."""
    breaker = _opened()
    places = [breaker.before(10), breaker.before(10)]
    breaker.release(places[0])
    breaker.after(breaker.before(10), success=True, now=10)
    assert breaker.state(10) == "half_open"


def test_counts_are_cleared_every_interval_while_closed() -> None:
    """Old failures do not add to new ones."""
    breaker = Breaker("v", POLICY)
    for _ in range(2):
        breaker.after(breaker.before(0), success=False, now=0)
    for _ in range(2):
        breaker.after(breaker.before(61), success=False, now=61)
    assert breaker.state(61) == "closed"


def test_every_change_of_state_is_told() -> None:
    """on_state_change gets name, from and to."""
    seen: list[tuple[str, State, State]] = []
    breaker = Breaker("v", BreakerPolicy(max_failures=1, timeout=1), lambda *change: seen.append(change))
    breaker.after(breaker.before(0), success=False, now=0)
    breaker.after(breaker.before(1), success=True, now=1)
    assert seen == [("v", "closed", "open"), ("v", "open", "half_open"), ("v", "half_open", "closed")]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=60))
def test_it_never_admits_more_than_it_may(script: list[tuple[bool, float]]) -> None:
    """Whatever happens: open admits none, half-open at most max_requests a generation."""
    breaker = Breaker("v", POLICY)
    now = 0.0
    admitted: dict[int, int] = {}
    for success, passed in script:
        now += passed
        state = breaker.state(now)
        try:
            generation = breaker.before(now)
        except BreakerOpen:
            assert state in {"open", "half_open"}
            continue
        assert state != "open"
        admitted[generation] = admitted.get(generation, 0) + 1
        if state == "half_open":
            assert admitted[generation] <= POLICY.max_requests
        breaker.after(generation, success=success, now=now)


@given(st.integers(0, 200), st.floats(0, 1, exclude_max=True))
def test_backoff_grows_to_its_most_and_no_further(attempt: int, unit: float) -> None:
    """Bounded below by the plain delay, above by the most plus jitter."""
    backoff = Backoff(base=0.5, factor=2, most=8, jitter=0.1)
    plain = min(8.0, 0.5 * 2 ** min(attempt, 10))
    assert plain <= backoff.delay(attempt, unit) <= plain * 1.1


def test_waits_can_be_held_against_a_deadline() -> None:
    """The sum of the longest waits decides."""
    backoff = Backoff(base=1, factor=2, most=4, jitter=0)
    assert retries_within(backoff, 3, 7.1)
    assert not retries_within(backoff, 3, 7.0)
