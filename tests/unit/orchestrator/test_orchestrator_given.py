"""Plans that users wrote: whatever the document, there is a plan or there are reasons, never an error."""

from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.plan import MODES, STRATEGIES, Node, Plan
from multiagent.core.tier import TIERS
from multiagent.orchestrator.dag import find_cycle
from multiagent.orchestrator.given import PLAN_KEYS, TASK_KEYS, Names, Problem, Reader, of_plan

NAMES = Names(("python", "calculator"), ("a.csv",), ("auditor",), 6)
WORDS = st.sampled_from(["a", "b", "c", "python", "a.csv", "auditor", "small", "direct", "simple", "", "Ä", *TASK_KEYS])
LEAVES = st.none() | st.booleans() | st.integers(-2, 20) | st.floats() | WORDS | st.text(max_size=30)


def values(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    keys = st.sampled_from([*PLAN_KEYS, *TASK_KEYS, "from", "to", "other"])
    return st.lists(inner, max_size=8) | st.dictionaries(keys, inner, max_size=8)


TASKS = st.lists(
    st.fixed_dictionaries(
        {"id": WORDS, "instruction": WORDS},
        optional={key: st.recursive(LEAVES, values, max_leaves=6) for key in TASK_KEYS[3:]},
    ),
    max_size=8,
)
DOCUMENTS = st.recursive(LEAVES, values, max_leaves=30) | st.fixed_dictionaries(
    {"tasks": TASKS}, optional={"mode": WORDS, "edges": st.lists(st.lists(WORDS, max_size=3), max_size=4)}
)


@given(DOCUMENTS)
def test_any_document_is_a_plan_or_has_problems_each_with_its_place(document: object) -> None:
    reader = Reader(document, NAMES)
    plan = reader.plan()
    assert (plan is None) == bool(reader.problems)
    assert all(problem.field and problem.text for problem in reader.problems)
    if plan is not None:
        assert 1 <= len(plan.tasks) <= NAMES.most
        assert not find_cycle(plan.tasks)
        assert len({node.id for node in plan.tasks}) == len(plan.tasks)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 6))
    nodes = []
    for number in range(count):
        before = draw(st.lists(st.integers(0, number - 1), unique=True, max_size=3)) if number else []
        nodes.append(
            Node(
                f"t{number}", "a title", draw(st.sampled_from(["do it", "做这件事"])),
                tuple(f"t{one}" for one in before),
                tuple(draw(st.lists(st.sampled_from(NAMES.tools or ()), unique=True))),
                tuple(draw(st.lists(st.sampled_from(NAMES.attachments or ()), unique=True))),
                draw(st.none() | st.sampled_from(TIERS)), draw(st.none() | st.sampled_from(STRATEGIES)),
                draw(st.sampled_from(["", "auditor"])),
            )
        )  # fmt: skip
    return Plan(tuple(nodes), "why", mode=draw(st.none() | st.sampled_from(MODES)))


@given(plans())
def test_a_plan_that_is_written_out_reads_as_itself(plan: Plan) -> None:
    assert Reader(of_plan(plan), NAMES).plan() == plan


def test_a_place_is_written_as_people_write_it() -> None:
    assert Problem(("tasks", 1, "tools", 0), "").field == "tasks[1].tools[0]"
    assert Problem((), "").field == "the plan"
