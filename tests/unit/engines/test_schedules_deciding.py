"""What a schedule does at a moment, over any course of looks, ends and words from people."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.principal import Principal
from multiagent.core.schedule import OVERLAPS, Overlap, Schedule, Span, State
from multiagent.engines.schedules.deciding import LOOK_MS, MOST_AT_ONCE, decide

MINUTE = 60_000
EVERY = Schedule("s", "q", Principal("local", "user"), every_s=60, catch_up_s=3_600)


def overlapping(policy: Overlap) -> Schedule:
    return msgspec.structs.replace(EVERY, overlap=policy)


def test_a_time_that_has_come_is_run_once_and_the_next_one_is_waited_for() -> None:
    first = decide(EVERY, State(), MINUTE, busy=False)
    assert (first.state.firing, first.state.seen, first.wake) == ((MINUTE,), MINUTE, 2 * MINUTE)
    again = decide(EVERY, msgspec.structs.replace(first.state, firing=()), MINUTE + 5, busy=False)
    assert (again.state.firing, again.wake, again.cancel) == ((), 2 * MINUTE, False)


def test_times_older_than_the_catch_up_window_are_passed_over() -> None:
    late = msgspec.structs.replace(EVERY, overlap="allow_all", catch_up_s=150)
    assert decide(late, State(), 60 * MINUTE, busy=False).state.firing == (58 * MINUTE, 59 * MINUTE, 60 * MINUTE)


def test_a_time_on_the_edge_of_the_catch_up_window_is_run() -> None:
    late = msgspec.structs.replace(EVERY, overlap="allow_all", catch_up_s=120)
    assert decide(late, State(), 60 * MINUTE, busy=False).state.firing == (58 * MINUTE, 59 * MINUTE, 60 * MINUTE)
    assert decide(late, State(), 60 * MINUTE + 1, busy=False).state.firing == (59 * MINUTE, 60 * MINUTE)


def test_very_many_missed_times_are_decided_a_hundred_at_a_time() -> None:
    busy = msgspec.structs.replace(EVERY, every_s=1, overlap="allow_all")
    first = decide(busy, State(), 250_000, busy=False)
    assert len(first.state.firing) == MOST_AT_ONCE
    assert first.wake == 101_000
    assert first.state.seen == 100_000


def test_a_paused_schedule_passes_its_times_over_and_is_woken_by_nothing() -> None:
    paused = msgspec.structs.replace(EVERY, paused=True)
    decided = decide(paused, State(), 10 * MINUTE, busy=False)
    assert (decided.state.firing, decided.state.seen, decided.wake) == ((), 10 * MINUTE, None)
    assert decide(paused, State(triggered=(5,)), MINUTE, busy=False).state.firing == (5,)


def test_with_skip_a_time_that_comes_during_a_run_is_none() -> None:
    decided = decide(EVERY, State(), MINUTE, busy=True)
    assert (decided.state.firing, decided.state.buffered, decided.cancel) == ((), None, False)


def test_with_buffer_one_the_first_such_time_waits_and_later_ones_are_none() -> None:
    schedule = overlapping("buffer_one")
    waits = decide(schedule, State(), 2 * MINUTE, busy=True)
    assert (waits.state.firing, waits.state.buffered, waits.cancel) == ((), MINUTE, False)
    assert waits.wake == min(3 * MINUTE, 2 * MINUTE + LOOK_MS)
    ended = decide(schedule, waits.state, 2 * MINUTE + 9, busy=False)
    assert (ended.state.firing, ended.state.buffered) == ((MINUTE,), None)


def test_with_allow_all_every_time_is_run_whatever_runs() -> None:
    decided = decide(overlapping("allow_all"), State(), 3 * MINUTE, busy=True)
    assert decided.state.firing == (MINUTE, 2 * MINUTE, 3 * MINUTE)


def test_with_cancel_other_the_run_is_cancelled_and_the_newest_time_waits_for_its_end() -> None:
    schedule = overlapping("cancel_other")
    decided = decide(schedule, State(buffered=MINUTE), 3 * MINUTE, busy=True)
    assert (decided.state.firing, decided.state.buffered, decided.cancel) == ((), 3 * MINUTE, True)
    assert decide(schedule, decided.state, 3 * MINUTE + 1, busy=True).cancel
    ended = decide(schedule, decided.state, 3 * MINUTE + 2, busy=False)
    assert (ended.state.firing, ended.cancel) == ((3 * MINUTE,), False)


def test_a_backfill_runs_its_times_one_after_another_and_never_beside_another_run() -> None:
    ran: list[int] = []
    state = State(seen=10 * MINUTE, spans=(Span(0, 2 * MINUTE), Span(4 * MINUTE, 5 * MINUTE)))
    assert decide(EVERY, state, 10 * MINUTE, busy=True).state == state
    while state.spans:
        state = decide(EVERY, state, 10 * MINUTE, busy=False).state
        ran += state.firing
        state = msgspec.structs.replace(state, firing=())
    assert ran == [MINUTE, 2 * MINUTE, 5 * MINUTE]


def test_a_schedule_past_its_end_is_woken_by_nothing() -> None:
    over = msgspec.structs.replace(EVERY, end=MINUTE)
    assert decide(over, State(), MINUTE, busy=False).wake is None


LOOKS = st.lists(st.tuples(st.integers(0, 400_000), st.booleans(), st.booleans()), max_size=30)


@pytest.mark.parametrize("policy", OVERLAPS)
@given(LOOKS)
def test_whatever_happens_no_time_is_run_twice_and_none_but_allow_all_runs_two_at_once(
    policy: Overlap, looks: "list[tuple[int, bool, bool]]"
) -> None:
    """A look comes any time later; the run may have ended by then; somebody may have asked for a run by hand."""
    schedule, state, now, running = overlapping(policy), State(), 0, False
    ran: list[int] = []
    for number, (later, ended, asked) in enumerate(looks):
        now += later
        running = running and not ended
        if asked:
            state = msgspec.structs.replace(state, triggered=(*state.triggered, 10**9 + number))
        decided = decide(schedule, state, now, busy=running)
        fired = decided.state.firing
        if policy != "allow_all":
            assert len(fired) <= 1
            assert not (running and fired)
        if policy not in {"skip", "cancel_other"} and asked and not running:
            assert fired
        ran += fired
        running = running or bool(fired)
        assert decided.wake is None or decided.wake > state.seen
        state = msgspec.structs.replace(decided.state, firing=())
    assert len(ran) == len(set(ran))


@given(st.lists(st.integers(1, 3_000_000), max_size=20))
def test_with_allow_all_and_somebody_there_often_enough_none_is_lost(steps: "list[int]") -> None:
    schedule, state, now = overlapping("allow_all"), State(), 0
    ran: list[int] = []
    for step in steps:
        now += step
        while True:
            decided = decide(schedule, state, now, busy=bool(ran))
            ran += decided.state.firing
            state = msgspec.structs.replace(decided.state, firing=())
            if decided.wake is None or decided.wake > now:
                break
    assert ran == list(range(MINUTE, now + 1, MINUTE))
