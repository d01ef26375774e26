"""Drives the offline model from query to answer over real files, its code run by a plain interpreter."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from multiagent.core.errors import ToolArguments
from multiagent.core.messages import Message, Text, ToolCall, ToolResult, says
from multiagent.core.tool import ToolSpec
from multiagent.llm.base import ModelRequest, Purpose
from multiagent.llm.offline.planner import Plan, PlannedTask
from multiagent.llm.offline.provider import answer
from multiagent.tools.builtin.arithmetic import calculate
from multiagent.tools.builtin.encoding import detect
from multiagent.tools.builtin.functions import write
from multiagent.tools.builtin.kinds import kind_of
from multiagent.tools.builtin.reading import HEAD

TYPES = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json"}
TOOLS = ("python", "calculator", "attachments")
TURNS = 9


def section(name: str, value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
    return f"<{name}>{text}</{name}>"


def described(path: Path) -> dict[str, object]:
    """What a prompt says of a file."""
    data = path.read_bytes()
    encoding = detect(data)
    assert encoding
    head = data.decode(encoding.codec).removeprefix("\ufeff")[:HEAD]
    media = TYPES.get(path.suffix, "text/plain")
    lines = data.count(b"\n") + (data[-1:] != b"\n")
    told = {
        "name": path.name,
        "media_type": media,
        "size": len(data),
        "lines": lines,
        "head": head,
        "encoding": str(encoding),
    }
    return told | {"kind": kind_of(path.name, media, head)}


def run_python(arguments: str, folder: Path) -> tuple[str, bool]:
    """Run a cell with its files' folder in the place of /data."""
    code = json.loads(arguments)["code"].replace("/data/", f"{folder}/")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout, False) if not done.returncode else (f"{done.stdout}\nError: {done.stderr[-2000:]}", True)


def run_tool(call: ToolCall, files: list[Path]) -> tuple[str, bool]:
    """Stand in for the platform's tools; expressions are given as the calculator would compute them."""
    given = json.loads(call.arguments)
    if call.name == "python":
        return run_python(call.arguments, files[0].parent)
    if call.name == "calculator":
        try:
            return write(calculate(given["expression"])), False
        except ToolArguments as error:
            return f"Error: {error}", True
    text = next(one for one in files if one.name == given["name"]).read_text("utf-8", "replace")
    return f"[{given['name']}: text, lines 1-9 of 9]\n{text}", False


def request(purpose: Purpose, *messages: Message, tools: tuple[str, ...] = (), most: int = 2048) -> ModelRequest:
    specs = tuple(ToolSpec(name, name, "{}") for name in tools)
    return ModelRequest(messages, tools=specs, purpose=purpose, max_output=most)


def text_of(asked: ModelRequest) -> str:
    parts, _ = answer(asked)
    return "".join(one.text for one in parts if isinstance(one, Text))


def plan_of(query: str, files: list[Path], max_tasks: int = 12, tools: tuple[str, ...] = TOOLS) -> Plan:
    """Return the plan for a query."""
    told = [
        section("query", query),
        section("attachments", [described(one) for one in files]),
        section("tools", [{"name": name, "description": name} for name in tools]),
        section("limits", {"max_tasks": max_tasks}),
    ]
    text = text_of(request("decompose", says("system", "Plan."), says("user", "\n".join(told))))
    return msgspec.json.decode(text, type=Plan)


def work(
    task: PlannedTask,
    query: str,
    files: list[Path],
    done: Mapping[str, Mapping[str, object]] | None = None,
    most: int = 2048,
) -> tuple[str, list[ToolCall]]:
    """Drive one agent to its final text; also return its tool calls."""
    told = [
        section("task", {"id": task.id, "title": task.title, "instruction": task.instruction}),
        section("query", query),
        section("attachments", [described(one) for one in files]),
        section("inputs", [done[one] for one in task.depends_on] if done else []),
        section("limits", {"turns_left": 8}),
    ]
    messages = [says("system", "You are an agent."), says("user", "\n".join(told))]
    calls: list[ToolCall] = []
    for _ in range(TURNS):
        parts, finish = answer(request("turn", *messages, tools=task.tools, most=most))
        if finish != "tool_calls":
            return "".join(one.text for one in parts if isinstance(one, Text)), calls
        (call,) = (one for one in parts if isinstance(one, ToolCall))
        assert call.name in task.tools
        calls.append(call)
        content, failed = run_tool(call, files)
        messages.append(Message("assistant", (call,)))
        messages.append(Message("tool", (ToolResult(call.id, call.name, content[:12000], failed),)))
    raise AssertionError("an agent took more turns than it has")


def end_to_end(query: str, files: list[Path], most: int = 2048) -> tuple[str, Plan]:
    """Return the final answer and the plan."""
    plan = plan_of(query, files)
    done: dict[str, dict[str, object]] = {}
    for task in plan.tasks:
        mine = [one for one in files if one.name in task.attachments]
        text, _ = work(task, query, mine, done, most)
        done[task.id] = {"task": task.id, "title": task.title, "result": text, "sources": list(task.attachments)}
    results = [one | {"status": "completed"} for one in done.values()]
    told = [section("query", query), section("results", results), section("missing", [])]
    return text_of(request("synthesize", says("system", "Join."), says("user", "\n".join(told)))), plan
