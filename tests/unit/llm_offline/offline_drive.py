"""Drives the offline model from query to answer over real files, its code run by a plain interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec

from multiagent.tools.builtin.kinds import kind_of
from multiagent.tools.builtin.reading import HEAD
from multiagent.core.messages import Message, Text, ToolCall, ToolResult, says
from multiagent.core.tool import ToolSpec
from multiagent.llm.base import ModelRequest
from multiagent.llm.offline.planner import Plan
from multiagent.llm.offline.provider import answer

TYPES = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json", ".pdf": "application/pdf"}
TOOLS = ("python", "calculator", "attachments", "text_processor")


def section(name: str, value: object) -> str:
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
    return f"<{name}>{text}</{name}>"


def described(path: Path) -> dict[str, object]:
    """What a prompt says of a file."""
    data = path.read_bytes()
    head = data.decode("utf-8-sig", "ignore")[:HEAD]
    media = TYPES.get(path.suffix, "text/plain")
    lines = data.count(b"\n") + (data[-1:] != b"\n")
    return {"name": path.name, "media_type": media, "size": len(data), "kind": kind_of(path.name, media, head), "lines": lines, "head": head}


def run_python(arguments: str, folder: Path) -> tuple[str, bool]:
    """Run a cell with its files' folder in the place of /data."""
    given = json.loads(arguments)
    code = given["code"].replace("/data/", f"{folder}/")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout, False) if not done.returncode else (done.stdout + "\nError: " + done.stderr[-2000:], True)


def ask(purpose: str, messages: list[Message], tools: tuple[str, ...] = (), max_output: int = 2048) -> tuple[str, list[ToolCall]]:
    """Return the model's text and calls."""
    specs = tuple(ToolSpec(name, name, "{}") for name in tools)
    request = ModelRequest(tuple(messages), tools=specs, purpose=purpose, max_output=max_output)
    parts, _ = answer(request)
    return "".join(one.text for one in parts if isinstance(one, Text)), [one for one in parts if isinstance(one, ToolCall)]


def work(task: dict[str, object], query: str, files: list[Path], inputs: list[dict[str, str]], tools: tuple[str, ...]) -> tuple[str, int]:
    """Drive one agent to its final text; also return its number of tool calls."""
    sections = [section("task", task), section("query", query), section("attachments", [described(one) for one in files])]
    sections += [section("inputs", inputs), section("limits", {"turns_left": 8})]
    messages = [says("system", "You are an agent."), says("user", "\n".join(sections))]
    for count in range(9):
        text, calls = ask("turn", messages, tools)
        if not calls:
            return text, count
        (call,) = calls
        assert call.name in tools
        messages.append(Message("assistant", (call,)))
        content, failed = run_tool(call, files)
        messages.append(Message("tool", (ToolResult(call.id, call.name, content[:12000], failed),)))
    raise AssertionError("more than eight turns")


def run_tool(call: ToolCall, files: list[Path]) -> tuple[str, bool]:
    """Stand in for the platform's tools."""
    if call.name == "python":
        return run_python(call.arguments, files[0].parent)
    if call.name == "calculator":
        return str(eval(json.loads(call.arguments)["expression"], {"sqrt": lambda value: value**0.5})), False
    named = json.loads(call.arguments)["name"]
    return next(one for one in files if one.name == named).read_text("utf-8", "replace"), False


def plan_of(query: str, files: list[Path], max_tasks: int = 12) -> Plan:
    """Return the plan for a query."""
    tools = [{"name": name, "description": name} for name in TOOLS]
    sections = [section("query", query), section("attachments", [described(one) for one in files]), section("tools", tools)]
    text, _ = ask("decompose", [says("system", "Plan."), says("user", "\n".join([*sections, section("limits", {"max_tasks": max_tasks})]))])
    return msgspec.json.decode(text, type=Plan)


def end_to_end(query: str, files: list[Path]) -> tuple[str, Plan]:
    """Return the final answer and the plan."""
    plan = plan_of(query, files)
    done: dict[str, dict[str, object]] = {}
    for task in plan.tasks:
        inputs = [{"task": one, "title": str(done[one]["title"]), "result": str(done[one]["result"])} for one in task.depends_on]
        mine = [one for one in files if one.name in task.attachments]
        shown = {"id": task.id, "title": task.title, "instruction": task.instruction}
        text, _ = work(shown, query, mine, inputs, task.tools)
        done[task.id] = {"task": task.id, "title": task.title, "status": "completed", "result": text, "sources": list(task.attachments)}
    sections = [section("query", query), section("results", list(done.values())), section("missing", [])]
    text, _ = ask("synthesize", [says("system", "Join."), says("user", "\n".join(sections))])
    return text, plan
