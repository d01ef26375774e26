"""Budget arithmetic: bounds that hold, verdicts that agree with the limits, windows that tile time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.budget import (
    Amount,
    Granted,
    Limit,
    PromptBound,
    Refused,
    ScopeRef,
    ScopeState,
    Wait,
    Window,
    fitting_output,
    judge,
    need,
    room,
    rung,
    share,
    split,
    window_start,
)
from multiagent.core.usage import Rates, Usage, cost

counts = st.integers(0, 200_000)
prices = st.integers(0, 100_000_000)
rates = st.builds(Rates, prices, prices, prices, prices, st.integers(0, 10**10))
amounts = st.builds(Amount, st.integers(0, 10**6), st.integers(0, 10**13))
limits = st.builds(Limit, st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**13))
states = st.builds(
    ScopeState,
    st.builds(ScopeRef, st.sampled_from(["task", "user"]), st.sampled_from(["a", "b"])),
    limits,
    amounts,
    amounts,
    st.booleans(),
)


def within(limit: Limit, amount: Amount) -> bool:
    return (limit.tokens is None or amount.tokens <= limit.tokens) and (limit.pico is None or amount.pico <= limit.pico)


@given(rates, counts, counts, st.data())
def test_no_usage_within_the_bounds_costs_more_than_the_need(
    price: Rates, prompt: int, output: int, data: st.DataObject
) -> None:
    """However much of the prompt was cached or written, and whatever those tokens cost."""
    used = data.draw(st.integers(0, prompt))
    cached = data.draw(st.integers(0, used))
    written = data.draw(st.integers(0, used - cached))
    usage = Usage(used, data.draw(st.integers(0, output)), cached, written)
    most = need(prompt, output, price)
    assert usage.total <= most.tokens
    assert cost(usage, price) <= most.pico


@given(rates, counts, counts, st.integers(1, 5))
def test_n_answers_need_n_times_their_tokens(price: Rates, prompt: int, output: int, n: int) -> None:
    one, many = need(prompt, output, price), need(prompt, output, price, n)
    assert many.tokens == n * one.tokens
    assert many.pico == n * (one.pico - price.call) + price.call


@given(rates, counts, st.lists(limits, max_size=4), st.integers(1, 3))
def test_the_fitting_output_fits_and_one_more_does_not(price: Rates, prompt: int, left: list[Limit], n: int) -> None:
    output = fitting_output(prompt, price, left, n)
    assert output >= 0
    if output > 0:
        assert all(within(limit, need(prompt, output, price, n)) for limit in left)
    bounded = any(limit.tokens is not None or (limit.pico is not None and price.completion) for limit in left)
    if bounded:
        assert not all(within(limit, need(prompt, output + 1, price, n)) for limit in left)


@given(st.lists(states, max_size=5), amounts)
def test_a_verdict_agrees_with_every_scope(booked: list[ScopeState], wanted: Amount) -> None:
    """Granted: it fits beside all that is held. Wait: it fits without the holds. Refused: it does not."""
    verdict = judge(booked, wanted)
    refusing = [one for one in booked if one.closed or not within(one.limit, one.used + wanted)]
    if isinstance(verdict, Refused):
        assert verdict.scope == refusing[0].scope
        assert verdict.room == room(refusing[0])
        return
    assert not refusing
    blocked = [one.scope for one in booked if not within(one.limit, one.used + one.held + wanted)]
    assert verdict == (Wait(tuple(blocked)) if blocked else Granted())


@given(states)
def test_what_fits_the_room_is_not_refused_and_one_more_is(state: ScopeState) -> None:
    left = room(state)
    if not state.closed and within(state.limit, state.used):
        assert not isinstance(judge([state], Amount(left.tokens or 0, left.pico or 0)), Refused)
    if left.tokens is not None:
        assert isinstance(judge([state], Amount(left.tokens + 1)), Refused)
    if left.pico is not None:
        assert isinstance(judge([state], Amount(0, left.pico + 1)), Refused)


def test_a_closed_scope_takes_nothing() -> None:
    """Not even a call that needs nothing."""
    closed = ScopeState(ScopeRef("task", "a"), Limit(), closed=True)
    assert judge([closed], Amount()) == Refused(closed.scope, Limit(0, 0))


def test_a_prompt_bound_adds_up() -> None:
    assert PromptBound(reported=100, new_bytes=20, overhead=64).tokens == 184


@given(st.integers(0, 4_102_444_800_000), st.sampled_from(["day", "week", "month"]))
def test_a_window_starts_where_the_calendar_says(now: int, window: Window) -> None:
    """In UTC; weeks begin on Monday. Checked against the standard library's calendar."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}
    assert window_start(window, now) == round(starts[window].timestamp() * 1000)


@given(st.integers(0, 4_102_444_800_000), st.sampled_from(["none", "day", "week", "month"]))
def test_a_window_contains_its_start(now: int, window: Window) -> None:
    """And its start is its own: all of a window's moments share one row."""
    start = window_start(window, now)
    assert start <= now
    assert window_start(window, start) == start


@given(amounts, limits)
def test_the_ladder_goes_down_as_the_share_goes_up(used: Amount, limit: Limit) -> None:
    steps = ["normal", "alert", "cheaper", "fewer", "partial"]
    more = Amount(used.tokens + 1, used.pico + 10**6)
    assert steps.index(rung(used, limit)) <= steps.index(rung(more, limit))
    assert (rung(used, limit) == "normal") == (share(used, limit) < 80)


@given(limits, st.integers(1, 12), st.integers(0, 100))
def test_parts_of_a_budget_never_add_up_to_more_than_may_be_split(limit: Limit, parts: int, keep: int) -> None:
    each = split(limit, parts, keep)
    for whole, part in ((limit.tokens, each.tokens), (limit.pico, each.pico)):
        assert (whole is None) == (part is None)
        if whole is not None and part is not None:
            assert parts * part * 100 <= whole * (100 - keep)


def test_a_budget_is_not_split_into_nothing() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        split(Limit(1), 0)


def test_a_limit_of_nothing_is_at_its_end_only_once_something_is_used() -> None:
    """Free models work under a budget of no dollars."""
    assert share(Amount(500, 0), Limit(None, 0)) == 0
    assert share(Amount(500, 1), Limit(None, 0)) == 100
