"""The token bucket of an endpoint."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.llm.gate_rate import TokenBucket


def test_a_burst_passes_at_once_then_calls_wait_their_turn() -> None:
    bucket = TokenBucket(per_minute=60, burst=2)
    assert [bucket.take(100.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]
    assert bucket.take(103.0) == 0.0


def test_a_call_that_was_never_made_is_given_back() -> None:
    bucket = TokenBucket(per_minute=60, burst=1)
    bucket.take(1.0)
    bucket.take(1.0)
    bucket.give_back()
    assert bucket.delay(1.0) == 1.0


@given(st.floats(1, 600), st.floats(1, 20), st.lists(st.floats(0, 5), max_size=60))
def test_no_stretch_of_time_sees_more_calls_than_burst_and_rate_allow(
    per_minute: float, burst: float, gaps: list[float]
) -> None:
    bucket = TokenBucket(per_minute, burst)
    now, passed = 10.0, []
    for gap in gaps:
        now += gap
        passed.append(now + bucket.take(now))
    passed.sort()
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            allowed = burst + (passed[last] - passed[first]) * per_minute / 60 + 1e-6
            assert last - first + 1 <= allowed + 1
