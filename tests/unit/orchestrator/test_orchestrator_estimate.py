"""Estimates: a range that grows with the work, within the budget."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.budget import Limit
from multiagent.core.plan import Node, Plan, Strategy
from multiagent.core.settings import TaskSettings
from multiagent.core.tier import TIERS, Tier
from multiagent.core.usage import Rates
from multiagent.orchestrator.estimate import Estimator, PlanEstimate, TierPrices

PRICES: dict[Tier, TierPrices] = {
    tier: TierPrices(Rates(10 * 10**at, 20 * 10**at), Rates(30 * 10**at, 60 * 10**at)) for at, tier in enumerate(TIERS)
}


def estimated(*nodes: Node, **settings: Any) -> PlanEstimate:
    chosen = TaskSettings(**{"limit": Limit(10**9, 10**18), **settings})
    return Estimator("the query", (), chosen, "standard", PRICES).plan(Plan(nodes))


def node(name: str, *depends_on: str, tools: tuple[str, ...] = ("python",), strategy: Strategy | None = None) -> Node:
    return Node(name, name, "do it", depends_on, tools, strategy=strategy)


@given(st.integers(1, 8), st.integers(1, 200_000), st.integers(1, 10**12))
def test_every_range_goes_up_and_stays_within_the_budget(count: int, tokens: int, pico: int) -> None:
    found = estimated(*(node(f"t{number}") for number in range(count)), limit=Limit(tokens, pico))
    for used, cost in [*((one.tokens, one.cost_pico) for one in found.parts), (found.tokens, found.cost_pico)]:
        assert 0 <= used.low <= used.high <= tokens
        assert 0 <= cost.low <= cost.high <= pico


def test_the_whole_is_its_parts_and_a_synthesis_where_there_are_several() -> None:
    one, two = estimated(node("a")), estimated(node("a"), node("b"))
    assert [part.id for part in one.parts] == ["a"]
    assert [part.id for part in two.parts] == ["a", "b", "synthesis"]
    assert two.tokens.low == sum(part.tokens.low for part in two.parts)
    assert two.cost_pico.high == sum(part.cost_pico.high for part in two.parts)


def test_reviews_tools_inputs_and_dearer_tiers_are_counted_in() -> None:
    plain = estimated(node("a"))
    assert estimated(node("a", strategy="collaborative")).tokens.low == 3 * plain.tokens.low
    assert estimated(node("a"), strategy="iterative").tokens.high > plain.tokens.high
    assert estimated(node("a", tools=())).tokens.high < plain.tokens.low * 10
    waiting = estimated(node("a"), node("b", "a")).parts[1]
    assert waiting.tokens.low > plain.tokens.low
    assert estimated(node("a"), tier="large").cost_pico.low == 100 * plain.cost_pico.low
