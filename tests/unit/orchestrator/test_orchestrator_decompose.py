"""From a model's answer to a plan."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import PlanInvalid
from multiagent.orchestrator.dag import find_cycle
from multiagent.orchestrator.decompose import SCHEMA, Known, read_plan

KNOWN = Known(("python", "calculator"), ("a.csv", "b.csv"), 4)


def task(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "title": name, "instruction": f"do {name}", **fields}


def plan(*tasks: Any, **fields: Any) -> str:
    return json.dumps({"reason": "why", "tasks": tasks, **fields})


def test_a_good_plan_is_read_with_its_edges() -> None:
    found = read_plan(plan(task("t1", tools=["python"], attachments=["a.csv"]), task("t2", depends_on=["t1"])), KNOWN)
    assert [one.id for one in found.tasks] == ["t1", "t2"]
    assert found.tasks[1].depends_on == ("t1",)
    assert found.reason == "why"


def test_a_fence_around_the_json_does_not_matter() -> None:
    assert read_plan(f"```json\n{plan(task('t1'))}\n```", KNOWN).tasks[0].id == "t1"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "empty"),
        ("Sure! Here is the plan", "not JSON"),
        ('{"tasks": 3}', "shape"),
        ("[1, 2]", "shape"),
        ('{"reason": "x"}', "shape"),
        (plan(), "no task"),
        (plan(*(task(f"t{one}") for one in range(5))), "at most 4"),
        (plan(task("T1")), "'T1'"),
        (plan(task("t1"), task("t1")), "twice"),
        (plan(task("t1", title=" ")), "title"),
        (plan(task("t1", instruction="")), "instruction"),
        (plan(task("t1", depends_on=["t1"])), "itself"),
        (plan(task("t1", depends_on=["t9"])), "'t9'"),
        (plan(task("t1", tools=["shell"])), "choose from python, calculator"),
        (plan(task("t1", attachments=["c.csv"])), "choose from a.csv, b.csv"),
        (plan(task("t1", depends_on=["t2"]), task("t2", depends_on=["t1"])), "wait for each other"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_plan_is_refused_with_the_reason(answer: str, says: str) -> None:
    with pytest.raises(PlanInvalid, match=says):
        read_plan(answer, KNOWN)


def test_the_schema_is_json() -> None:
    assert json.loads(SCHEMA)["required"] == ["reason", "tasks"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["tasks", "reason", "id", "title", "instruction", "depends_on", "tools"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(st.text(max_size=50) | JSON.map(json.dumps))
@pytest.mark.requirement("S.orchestrator.decompose")
def test_whatever_a_model_answers_is_a_small_acyclic_plan_or_one_error(answer: str) -> None:
    try:
        found = read_plan(answer, KNOWN)
    except PlanInvalid:
        return
    assert 1 <= len(found.tasks) <= 4
    assert find_cycle(found.tasks) == ()
