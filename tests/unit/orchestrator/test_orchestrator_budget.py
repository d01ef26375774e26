"""How a task's budget is shared out."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.budget import Amount, Limit
from multiagent.core.settings import TaskSettings
from multiagent.orchestrator.budget import KEPT_PERCENT, allowance, even_share, tier_for, width

AMOUNTS = st.integers(0, 10**15)


@given(AMOUNTS, AMOUNTS, st.integers(1, 12))
def test_even_shares_together_never_exceed_what_is_left_after_the_kept_part(total: int, used: int, count: int) -> None:
    shared = total * (100 - KEPT_PERCENT) // 100
    promised = 0
    for waiting in range(count, 0, -1):
        share = even_share(Limit(total), Amount(used), Amount(promised), waiting).tokens
        assert share is not None
        promised += share
    assert promised <= max(0, shared - used)


@given(AMOUNTS, AMOUNTS, st.integers(1, 12))
def test_an_agent_may_never_use_more_than_what_is_unused(total: int, used: int, waiting: int) -> None:
    even = even_share(Limit(total), Amount(used), Amount(), waiting)
    tokens = allowance(Limit(total), Amount(used), even).tokens
    assert tokens is not None
    assert (even.tokens or 0) <= tokens <= max(0, total - used)


def test_no_limit_is_shared_out_as_no_limit() -> None:
    assert allowance(Limit(), Amount(5, 5), even_share(Limit(), Amount(5, 5), Amount(), 3)) == Limit()


def test_fewer_agents_run_from_the_rung_of_that_name_and_none_starts_at_the_last() -> None:
    assert [width(5, rung) for rung in ("normal", "alert", "cheaper", "fewer", "partial")] == [5, 5, 5, 2, 0]
    assert width(1, "fewer") == 1


def test_a_chosen_tier_stands_until_the_budget_calls_for_a_cheaper_one() -> None:
    settings = TaskSettings(tier="large")
    assert tier_for(settings, "simple", "alert", agent=True) == "large"
    assert tier_for(settings, "simple", "cheaper", agent=True) == "medium"


def test_complex_tasks_are_planned_by_the_most_capable_tier_and_worked_on_by_the_middle_one() -> None:
    settings = TaskSettings()
    assert tier_for(settings, "complex", "normal", agent=False) == "large"
    assert tier_for(settings, "complex", "normal", agent=True) == "medium"
    assert tier_for(settings, "simple", "normal", agent=True) == "small"
