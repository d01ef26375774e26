"""The router: which model is asked first."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import NoModel
from multiagent.core.tier import TIERS, Tier
from multiagent.core.tool import ToolSpec
from multiagent.core.usage import Rates
from multiagent.llm.base import Endpoint, ModelInfo, ModelRequest
from multiagent.llm.router import EndpointStats, after_call, fitting, nearest, rank, score

shares = st.floats(0, 1)
seen = st.builds(EndpointStats, shares, st.floats(0, 60), shares)
priorities = st.floats(0.1, 10)


def model(name: str, tier: Tier = "small", priority: float = 1.0, rate: int = 0, **more: object) -> ModelInfo:
    info = ModelInfo(Endpoint("v", name), tier, priority, Rates(rate, rate, rate, rate))
    return msgspec.structs.replace(info, **more)


@pytest.mark.parametrize(
    ("value", "priority", "cost", "most", "stats"),
    [
        (1.0, 1.0, 0, 100, EndpointStats()),
        (2.0, 2.0, 0, 0, EndpointStats()),
        (0.5, 1.0, 50, 100, EndpointStats()),
        (0.1, 1.0, 100, 100, EndpointStats()),
        (0.5, 1.0, 0, 100, EndpointStats(success_rate=0.5)),
        (0.25, 1.0, 0, 100, EndpointStats(latency_s=3.0)),
        (0.5, 1.0, 0, 100, EndpointStats(load=0.5)),
        (0.1, 1.0, 0, 100, EndpointStats(load=1.0)),
        (2 * 0.75 * 0.8 / 1.5 * 0.6, 2.0, 25, 100, EndpointStats(0.8, 0.5, 0.4)),
    ],
)
def test_the_score_is_the_formula(value: float, priority: float, cost: int, most: int, stats: EndpointStats) -> None:
    """Priority × max(0.1, 1 − cost/max_cost) × success_rate/(1 + latency_s) × max(0.1, 1 − load)."""
    assert score(priority, cost, most, stats) == pytest.approx(value)


@given(priorities, st.integers(0, 10**9), st.integers(0, 10**9), seen)
def test_a_score_is_never_negative_and_never_above_the_priority(
    priority: float, cost: int, most: int, stats: EndpointStats
) -> None:
    assert 0 <= score(priority, min(cost, most), most, stats) <= priority


@given(priorities, st.integers(1, 10**9), seen, st.data())
def test_better_in_anything_is_never_worse_in_score(
    priority: float, most: int, stats: EndpointStats, data: st.DataObject
) -> None:
    """Cheaper, faster, more reliable, less loaded, of higher priority."""
    cost = data.draw(st.integers(0, most))
    plain = score(priority, cost, most, stats)
    cheaper = data.draw(st.integers(0, cost))
    better = EndpointStats(
        data.draw(st.floats(stats.success_rate, 1)),
        data.draw(st.floats(0, stats.latency_s)),
        data.draw(st.floats(0, stats.load)),
    )
    assert score(priority, cheaper, most, stats) >= plain
    assert score(priority * 1.5, cost, most, stats) >= plain
    assert score(priority, cost, most, better) >= plain * (1 - 1e-12)


@given(seen, st.booleans(), st.none() | st.floats(0, 60))
def test_averages_stay_in_their_ranges_and_move_towards_what_was_seen(
    stats: EndpointStats, success: bool, latency: float | None
) -> None:
    after = after_call(stats, success=success, latency_s=latency)
    assert 0 <= after.success_rate <= 1
    assert (after.success_rate >= stats.success_rate) if success else (after.success_rate <= stats.success_rate)
    if latency is None:
        assert after.latency_s == stats.latency_s
    else:
        low, high = sorted((stats.latency_s, latency))
        assert low - 1e-9 <= after.latency_s <= high + 1e-9


@given(st.permutations([model("a", rate=1), model("b", rate=5), model("c", rate=5), model("d", priority=0.1)]))
def test_the_order_does_not_depend_on_the_order_of_the_file(models: list[ModelInfo]) -> None:
    """Equal scores are ordered by id."""
    assert [one.endpoint.model for one in rank(models, 100, 100, {})] == ["a", "b", "c", "d"]


def test_a_failing_endpoint_falls_behind() -> None:
    models = [model("a"), model("b")]
    stats = {models[0].endpoint.id: EndpointStats(success_rate=0.2)}
    assert [one.endpoint.model for one in rank(models, 1, 1, stats)] == ["b", "a"]


@given(st.sets(st.sampled_from(TIERS), min_size=1), st.sampled_from(TIERS))
def test_the_nearest_tier_is_the_wanted_one_else_a_cheaper_else_a_dearer(tiers: set[Tier], wanted: Tier) -> None:
    got = nearest(tiers, wanted)
    place = {tier: TIERS.index(tier) for tier in TIERS}
    if wanted in tiers:
        assert got == wanted
    elif any(place[tier] < place[wanted] for tier in tiers):
        assert place[got] == max(place[tier] for tier in tiers if place[tier] < place[wanted])
    else:
        assert place[got] == min(place[tier] for tier in tiers)


def names(models: tuple[ModelInfo, ...]) -> list[str]:
    return [one.endpoint.model for one in models]


def test_a_model_is_found_by_each_of_its_names() -> None:
    models = [model("a"), model("b", tier="large")]
    for name in ("b", "v/b", "v/default/-/b"):
        assert names(fitting(models, ModelRequest((), model=name), 1)) == ["b"]


def test_only_models_that_can_call_tools_are_given_tools() -> None:
    models = [model("a", tools=False), model("b")]
    tools = (ToolSpec("t", "", "{}"),)
    assert names(fitting(models, ModelRequest((), tools=tools), 1)) == ["b"]
    with pytest.raises(NoModel, match="tools"):
        fitting(models[:1], ModelRequest((), tools=tools), 1)


def test_what_is_too_long_goes_to_a_longer_context_even_in_another_tier() -> None:
    models = [model("a", context=1000), model("b", tier="large", context=100_000)]
    assert names(fitting(models, ModelRequest(()), 5000)) == ["b"]
    with pytest.raises(NoModel, match="100000"):
        fitting(models, ModelRequest(()), 200_000)
