"""How the offline model keeps to what it is asked: tools, limits, honesty, and the port's stream."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import VendorUnavailable
from multiagent.core.messages import Message, ToolCall, ToolResult, says
from multiagent.core.usage import Rates
from multiagent.llm.base import Endpoint, ModelInfo, PartDone, StreamEnd, TextDelta
from multiagent.llm.offline.arithmetic import expressions
from multiagent.llm.offline.provider import OfflineProvider, answer
from tests.unit.llm_offline.offline_drive import described, end_to_end, plan_of, request, section, text_of, work

MODEL = ModelInfo(Endpoint("offline", "offline-small"), "small", 1.0, Rates())
PROMISED = {
    "json", "csv", "math", "statistics", "re", "datetime", "collections", "itertools", "functools", "io", "decimal",
    "string", "textwrap", "unicodedata",
}  # fmt: skip


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    file = tmp_path / "sales.csv"
    file.write_text("city,units\n" + "".join(f"c{at % 3},{at}\n" for at in range(30)), "utf-8")
    return file


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("what is 17% of 2,340?", "17/100*2340"),
        ("2+2", "2+2"),
        ("计算 12 乘以 8", "12 * 8"),
        ("2340的17%是多少", "17/100*2340"),
        ("average of 1, 2 and 3", "(1 + 2 + 3) / 3"),
        ("square root of 144", "sqrt(144)"),
        ("On 2021-03-04, what happened?", ""),
        ("Who won in 1998?", ""),
        ("1.5e3 * 2", "1.5e3 * 2"),
        ("compute 2.5e-3 * 4", "2.5e-3 * 4"),
        ("increase 80 by 25%", "80 * (1 + 25/100)"),
        ("100 - 30%", "100 * (1 - 30/100)"),
        ("20% off 50", "50 * (1 - 20/100)"),
        ("what is 10-3?", "10-3"),
        ("2的10次方", "2**10"),
        ("What was revenue in 2020-2023?", ""),
        ("call 555-1234", ""),
        ("total of 2020, 2021 and 2022", ""),
        ("50 + 100 - 30%", ""),
        ("2*3 + x", ""),
        ("0x10 + 5", ""),
        ("5 plus 3 times 2 for 10 people", ""),
        ("3,5 + 2", ""),
        ("$5 + $3", ""),
        ("1.2.3+4", ""),
    ],
)
def test_arithmetic_in_words_becomes_an_expression(query: str, expression: str) -> None:
    assert expressions(query) == ([expression] if expression else [])


def test_a_sum_goes_through_the_calculator() -> None:
    plan = plan_of("what is 17% of 2,340?", [])
    text, calls = work(plan.tasks[0], "what is 17% of 2,340?", [])
    assert [call.name for call in calls] == ["calculator"]
    assert text == "17/100*2340 = **397.8**"


def test_a_sum_that_has_no_result_is_not_answered() -> None:
    assert end_to_end("10/0", [])[0].startswith("- Not answered: 10/0.")


@pytest.mark.parametrize("most", [1, 12])
def test_a_question_of_a_table_and_a_sum_get_an_answer_each(sales: Path, most: int) -> None:
    query = "total units by city. Also what is 12*12?"
    plan = plan_of(query, [sales], max_tasks=most)
    texts = [work(one, query, [sales] if one.attachments else [])[0] for one in plan.tasks]
    assert len(texts) == min(most, 2)
    assert "12*12 = **144**" in "".join(texts)
    assert "Total of `units` by `city`" in "".join(texts)


def test_a_question_of_knowledge_is_declined_with_what_would_help() -> None:
    text, _ = end_to_end("Who wrote Faust?", [])
    assert "has no knowledge of the world" in text
    assert "OPENAI_API_KEY" in text


@given(
    st.text(max_size=80),
    st.integers(1, 12),
    st.lists(st.sampled_from(["a.csv", "b.txt", "c.json", "d.pdf", "e.bin"]), unique=True),
)
def test_a_plan_is_small_acyclic_and_uses_only_what_there_is(query: str, most: int, names: list[str]) -> None:
    kinds = {"a.csv": "table", "b.txt": "text", "c.json": "json", "d.pdf": "pdf", "e.bin": "binary"}
    files = [{"name": name, "kind": kinds[name], "lines": 3, "head": "x,y\n1,2\n3,4\n"} for name in names]
    told = [
        section("query", query),
        section("attachments", files),
        section("tools", [{"name": "python", "description": ""}]),
        section("limits", {"max_tasks": most}),
    ]
    plan = json.loads(text_of(request("decompose", says("user", "\n".join(told)), most=100_000)))
    seen: set[str] = set()
    assert 1 <= len(plan["tasks"]) <= most
    for task in plan["tasks"]:
        assert set(task["depends_on"]) <= seen
        assert set(task["tools"]) <= {"python"}
        assert set(task["attachments"]) <= set(names)
        seen.add(task["id"])


@given(st.text(max_size=60), st.text(max_size=300))
def test_any_head_and_query_get_an_answer(query: str, head: str) -> None:
    """No text of a user or a file breaks a turn."""
    file = {"name": "a.csv", "kind": "table", "lines": head.count("\n") + 1, "head": head}
    told = [section("task", {"id": "t1", "instruction": query}), section("query", query)]
    messages = [says("user", "\n".join([*told, section("attachments", [file])]))]
    parts, finish = answer(request("turn", *messages, tools=("python",)))
    assert parts
    assert finish in {"stop", "tool_calls"}


def test_a_tool_that_was_not_given_is_named_and_not_called(sales: Path) -> None:
    plan = plan_of("total units by city", [sales], tools=("calculator",))
    text, calls = work(plan.tasks[0], "total units by city", [sales])
    assert calls == []
    assert "needs the tool `python`" in text


def failing(file: Path, content: str) -> tuple[str, list[ToolCall]]:
    """Drive an agent whose code always fails so."""
    told = [section("task", {"id": "t1", "instruction": "total units by city"})]
    told += [section("query", "total units by city"), section("attachments", [described(file)])]
    messages = [says("user", "\n".join(told))]
    calls: list[ToolCall] = []
    while len(calls) < 9:
        parts, finish = answer(request("turn", *messages, tools=("python",)))
        if finish == "stop":
            break
        (call,) = (one for one in parts if isinstance(one, ToolCall))
        calls.append(call)
        result = ToolResult(call.id, "python", content, is_error=True)
        messages += [Message("assistant", (call,)), Message("tool", (result,))]
    return text_of(request("turn", *messages, tools=("python",))), calls


def test_code_that_fails_is_tried_once_more_and_then_the_failure_is_told(sales: Path) -> None:
    text, calls = failing(sales, "Error: MemoryError: out of memory")
    first, second = (json.loads(call.arguments)["code"] for call in calls)
    assert "limit=20000" in second
    assert "limit=20000" not in first
    assert text == "- Not answered: groups. Reason: Error: MemoryError: out of memory"


@pytest.mark.parametrize("query", ["analyse this", "total units by city", "any outliers? what is the trend?", "分析"])
def test_cells_use_only_the_promised_library_and_fit_the_answer(sales: Path, query: str) -> None:
    for task in plan_of(query, [sales]).tasks:
        _, calls = work(task, query, [sales])
        assert calls
        for call in calls:
            assert len(call.arguments) <= 2048 * 4
            tree = ast.parse(json.loads(call.arguments)["code"])
            imports = [one for one in ast.walk(tree) if isinstance(one, ast.Import | ast.ImportFrom)]
            names = {one.module if isinstance(one, ast.ImportFrom) else one.names[0].name for one in imports}
            assert names <= PROMISED


def test_more_room_puts_more_into_one_cell(sales: Path) -> None:
    task = plan_of("analyse this", [sales], max_tasks=1).tasks[0]
    assert len(work(task, "analyse this", [sales], most=8192)[1]) < len(work(task, "analyse this", [sales])[1])


def test_a_text_is_told_by_its_structure_and_the_sentences_that_matter(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text(
        "# Boats\n\nA boat floats well.\n\n## Sails\n\nThe red sail was torn by wind. Nobody minds.\n", "utf-8"
    )
    text, _ = end_to_end("What happened to the red sail?", [file])
    assert "Headings: Boats, Sails" in text
    assert "> The red sail was torn by wind." in text


def test_a_file_that_no_code_can_read_is_read_by_the_attachments_tool(tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text("The red sail was torn by wind.\n", "utf-8")
    plan = plan_of("What happened to the sail?", [file], tools=("attachments",))
    text, calls = work(plan.tasks[0], "What happened to the sail?", [file])
    assert [call.name for call in calls] == ["attachments"]
    assert "The red sail was torn by wind." in text


def test_what_failed_is_named_in_the_answer() -> None:
    results = [{"task": "t1", "title": "One", "status": "completed", "result": "- fine", "sources": ["a.csv"]}]
    results.append({"task": "t2", "title": "Two", "status": "failed", "result": "", "sources": []})
    told = [section("query", "report"), section("results", results), section("missing", ["b.csv"])]
    text = text_of(request("synthesize", says("user", "\n".join(told))))
    assert "**Missing from this answer:** Two (failed), b.csv." in text
    assert "offline model" in text


async def test_a_stream_ends_with_estimated_usage_and_repeats_itself() -> None:
    provider = OfflineProvider()
    asked = request("chat", says("user", "hello"))
    first, second = [[one async for one in provider.stream(MODEL, asked)] for _ in range(2)]
    assert first == second
    end = first[-1]
    assert isinstance(end, StreamEnd)
    assert end.estimated
    assert end.usage is not None
    assert end.usage.completion > 0
    assert all(isinstance(one, TextDelta | PartDone) for one in first[:-1])
    await provider.close()


async def test_failures_come_at_the_rate_and_order_of_the_seed() -> None:
    async def outcomes() -> list[bool]:
        provider, found = OfflineProvider(failure_rate=0.5, seed=7), []
        for _ in range(20):
            try:
                found.append(bool([one async for one in provider.stream(MODEL, request("chat", says("user", "hi")))]))
            except VendorUnavailable as error:
                found.append(not error.retryable)
        return found

    first = await outcomes()
    assert first == await outcomes()
    assert set(first) == {True, False}
