"""Plans in files: read whole, or refused with the line and the field of everything that is wrong."""

from pathlib import Path

import pytest

from multiagent.app.planfile import read_plan_file
from multiagent.core.errors import PlanInvalid
from multiagent.core.plan import Node, Plan
from multiagent.orchestrator.given import Names, Reader, of_plan

NAMES = Names(("python", "calculator"), ("a.csv",), ("auditor",), 12)

GOOD = """\
mode: complex
reason: two looks at one table
tasks:
  - id: count
    title: Count the rows
    instruction: How many rows are there?
    tools: [python]
    attachments: [a.csv]
    tier: small
  - id: sum
    instruction: What is 2 + 2?
    tools: [calculator]
    strategy: collaborative
  - id: both
    instruction: Compare.
    depends_on: [count]
    agent: auditor
edges:
  - {from: sum, to: both}
"""
PLAN = Plan(
    (
        Node("count", "Count the rows", "How many rows are there?", (), ("python",), ("a.csv",), "small"),
        Node("sum", "What is 2 + 2?", "What is 2 + 2?", (), ("calculator",), strategy="collaborative"),
        Node("both", "Compare.", "Compare.", ("count", "sum"), agent="auditor"),
    ),
    "two looks at one table",
    mode="complex",
)


def read(tmp_path: Path, text: str, name: str = "plan.yaml") -> Plan:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_plan_file(path, NAMES)


def refused(tmp_path: Path, text: str, name: str = "plan.yaml") -> PlanInvalid:
    with pytest.raises(PlanInvalid) as caught:
        read(tmp_path, text, name)
    return caught.value


def test_a_yaml_plan_is_read_whole(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == PLAN


def test_the_seeds_names_are_understood_in_json(tmp_path: Path) -> None:
    text = """{"mode": "standard", "complexity_score": 0.5,
        "agent_tasks": [{"id": "a", "instruction": "one"}, {"id": "b", "instruction": "two"}],
        "dag": {"edges": [["a", "b"]]}}"""
    plan = read(tmp_path, text, "plan.json")
    assert [(node.id, node.depends_on) for node in plan.tasks] == [("a", ()), ("b", ("a",))]
    assert plan.mode == "standard"


def test_a_plan_written_out_reads_as_itself() -> None:
    assert Reader(of_plan(PLAN), NAMES).plan() == PLAN


TASK = "tasks:\n  - id: a\n    instruction: do it\n"


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [
        ("tasks: []\n", 1, "tasks", "no task"),
        ("mode: fast\n" + TASK, 1, "mode", "choose from simple, standard, complex"),
        (TASK + "    tools: [calculator, pyhton]\n", 4, "tasks[0].tools[1]", "unknown tool 'pyhton'; choose from"),
        (TASK + "    attachments: [b.csv]\n", 4, "tasks[0].attachments[0]", "unknown attachment 'b.csv'"),
        (TASK + "    tier: huge\n", 4, "tasks[0].tier", "choose from small, medium, large"),
        (TASK + "    strategy: guess\n", 4, "tasks[0].strategy", "choose from direct"),
        (TASK + "    agent: nobody\n", 4, "tasks[0].agent", "unknown agent 'nobody'; choose from auditor"),
        (TASK + "    depends_on: [z]\n", 4, "tasks[0].depends_on[0]", "no task 'z'"),
        (TASK + "    depends_on: [a]\n", 4, "tasks[0].depends_on[0]", "waits for itself"),
        (TASK + "    tool: python\n", 4, "tasks[0].tool", "unknown field"),
        (TASK + "  - id: a\n    instruction: again\n", 4, "tasks[1].id", "already"),
        (TASK + "  - instruction: again\n", 4, "tasks[1].id", "missing"),
        ("tasks:\n  - id: A b\n    instruction: x\n", 2, "tasks[0].id", "no id"),
        ("tasks:\n  - id: 7\n    instruction: x\n", 2, "tasks[0].id", "write text"),
        ("tasks:\n  - id: a\n    instruction: ''\n", 3, "tasks[0].instruction", "missing"),
        (TASK + "edges:\n  - [a]\n", 5, "edges[0]", "an edge is"),
        (TASK + "edges:\n  - [a, q]\n", 5, "edges[0]", "no task 'q'"),
        (TASK + "complexity_score: 7\n", 4, "complexity_score", "from 0 to 1"),
        ("- id: a\n", 1, "the plan", "write a mapping"),
        ("tasks: {a: b}\n", 1, "tasks", "write a list"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_field(
    tmp_path: Path, text: str, line: int, field: str, says: str
) -> None:
    error = refused(tmp_path, text)
    assert error.code == "PLAN_INVALID"
    assert (error.details["line"], error.details["field"]) == (line, field)
    assert says in error.message


def test_a_cycle_is_told_whole(tmp_path: Path) -> None:
    text = TASK + "    depends_on: [b]\n  - {id: b, instruction: x, depends_on: [c]}\n  - {id: c, instruction: x}\n"
    error = refused(tmp_path, text + "edges: [[a, c]]\n")
    assert "wait for each other" in error.message
    assert "a → b → c → a" in error.message


def test_a_plan_with_too_many_tasks_is_refused_by_its_size(tmp_path: Path) -> None:
    text = "tasks:\n" + "".join(f"  - {{id: t{number}, instruction: x}}\n" for number in range(13))
    assert "13 tasks are too many; at most 12" in refused(tmp_path, text).message
    assert "MiB" in refused(tmp_path, "#" * (2 << 20)).message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    error = refused(tmp_path, TASK + "    tier: huge\n    tools: [x]\n    attachments: [y]\n")
    assert "3 problems" in error.message
    assert "line 5, tasks[0].tools[0]" in error.message


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("plan.yaml", "", "is empty"),
        ("plan.yaml", "# nothing\n", "only comments"),
        ("plan.yaml", "tasks:\n  - id: [\n", "line 3"),
        ("plan.yaml", "tasks: &a [*a]\n", "line 1"),
        ("plan.yaml", "a: &x [1]\nb: *x\n", "aliases"),
        ("plan.yaml", "mode: simple\nmode: complex\n", "stands twice"),
        ("plan.json", '{"tasks": [}', "line 1, column 12"),
        ("plan.json", '{"tasks": [], "tasks": []}', "stands twice"),
        ("plan.json", "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(tmp_path: Path, name: str, text: str, says: str) -> None:
    error = refused(tmp_path, text, name)
    assert says in error.message
    assert name in error.message


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match="cannot be read"):
        read_plan_file(tmp_path / "none.yaml", NAMES)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanInvalid, match="UTF-8"):
        read_plan_file(tmp_path / "bad.yaml", NAMES)
