"""The plan as a graph."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.plan import Node
from multiagent.orchestrator.dag import find_cycle, leaves, order, readiness


def node(name: str, *depends_on: str) -> Node:
    return Node(name, name, name, depends_on)


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Any graph, cycles and self-loops included."""
    names = [f"t{number}" for number in range(draw(st.integers(1, 8)))]
    return [node(name, *draw(st.lists(st.sampled_from(names), unique=True, max_size=3))) for name in names]


@given(graphs())
def test_a_graph_has_an_order_exactly_when_it_has_no_cycle(nodes: list[Node]) -> None:
    cycle = find_cycle(nodes)
    if cycle:
        edges = {one.id: one.depends_on for one in nodes}
        for here, there in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert there in edges[here]
        return
    places = {name: place for place, name in enumerate(order(nodes))}
    assert set(places) == {one.id for one in nodes}
    assert all(places[needed] < places[one.id] for one in nodes for needed in one.depends_on)


@given(graphs())
def test_the_leaves_are_what_nothing_depends_on(nodes: list[Node]) -> None:
    ends = leaves(nodes)
    assert all(name not in one.depends_on for name in ends for one in nodes)


def test_a_task_waits_for_all_it_depends_on() -> None:
    assert readiness(node("c", "a", "b"), {"a": "completed"}) == "blocked"
    assert readiness(node("c", "a", "b"), {"a": "completed", "b": "completed"}) == "ready"


def test_a_task_goes_on_with_what_there_is_unless_told_to_skip() -> None:
    half = {"a": "completed", "b": "failed"}
    assert readiness(node("c", "a", "b"), half, "continue") == "ready"
    assert readiness(node("c", "a", "b"), half, "skip") == "skip"


def test_a_task_is_skipped_when_nothing_it_depends_on_brought_a_result() -> None:
    assert readiness(node("c", "a"), {"a": "failed"}) == "skip"
    assert readiness(node("c", "a"), {"a": "skipped"}) == "skip"
