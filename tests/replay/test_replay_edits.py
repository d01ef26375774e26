"""Edits of the product's workflow files, one at a time: replay of an older run detects each."""

import asyncio
import compileall
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import multiagent
from multiagent.testing.replayed import Register, replay_elsewhere
from tests.replay.product_run import record

PACKAGE = Path(multiagent.__file__).parent


@dataclass(frozen=True)
class Edit:
    """Replace the first match of a pattern in a file of the package."""

    what: str
    file: str
    pattern: str
    new: str


EDITS = (
    Edit("key: another step key", "agents/loop.py", r"/think/\{", "/thought/{"),
    Edit(
        "key: the same key for two steps", "agents/loop.py", r"/act/\{self\._state\.turn\}/\{position\}/", "/act/1/0/"
    ),
    Edit("name: a renamed step", "agents/calls.py", r'StepDef\("think"', 'StepDef("ponder"'),
    Edit("name: another step in its place", "orchestrator/workflows.py", r"step\(SYNTHESIZE,", "step(FINISH,"),
    Edit(
        "input: another value", "orchestrator/workflows.py", r"ctx\.settings\.max_nodes", "ctx.settings.max_nodes + 1"
    ),
    Edit("input: a field left out", "agents/loop.py", r"self\._checked = await", "_ = await"),
    Edit(
        "input: a record that has grown a field",
        "agents/calls.py",
        r"(class CheckInput\(.*?    position: int\n)",
        r"\1    strict: bool = True\n",
    ),
    Edit(
        "order: the last ready task first",
        "orchestrator/scheduler.py",
        r"in waiting\((.*?)\):",
        r"in tuple(waiting(\1))[::-1]:",
    ),
    Edit(
        "order: an event after the step it stood before",
        "orchestrator/workflows.py",
        r"( +)(self\._ctx\.emit\(EventKind\.SYNTHESIS_STARTED.*?\n)(.*?)( +output = await .*?\n)",
        r"\3\4\1\2",
    ),
    Edit("branch: the condition turned round", "orchestrator/workflows.py", r'mode == "simple"', 'mode != "simple"'),
    Edit(
        "branch: a repair that is not asked for",
        "orchestrator/workflows.py",
        r"first\.plan is not None",
        "first.plan is None",
    ),
    Edit(
        "count: a step more",
        "orchestrator/workflows.py",
        r"( +)(return Answered\(\"\" if .*?\n)",
        r'\1await self._ctx.step(SYNTHESIZE, given, "again")\n\1\2',
    ),
    Edit("count: a step less", "orchestrator/workflows.py", r"len\(plan\.tasks\) == 1", "len(plan.tasks) >= 1"),
    Edit("count: fewer at once", "orchestrator/workflows.py", r"return most if .*?\n", "return 1\n"),
    Edit("count: an event less", "agents/loop.py", r"self\._ctx\.emit\(kind, ended\(result\)\)", "ended(result)"),
    Edit(
        "an event that says something else",
        "orchestrator/workflows.py",
        r"settings\.max_agents, limit",
        "settings.max_agents + 1, limit",
    ),
    Edit(
        "a timer more",
        "orchestrator/workflows.py",
        r"( +)(result = await ctx\.step\(FINISH)",
        r"\1await ctx.sleep(1)\n\1\2",
    ),
    Edit(
        "another result",
        "orchestrator/workflows.py",
        r"return await TaskRun\(ctx, task\)\.run\(\)",
        'return msgspec.structs.replace(await TaskRun(ctx, task).run(), text="other")',
    ),
)


@dataclass(frozen=True)
class Lab:
    """A recorded run, and a copy of the package to be edited."""

    recording: Path
    source: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, register: Register) -> Iterator[Lab]:
    base = tmp_path_factory.mktemp("lab")
    home, recording, source = base / "home", base / "recording", base / "source"
    home.mkdir()
    recording.mkdir()
    result = asyncio.run(record(home, register, recording))
    assert result.text == "the answer"
    shutil.copytree(PACKAGE, source / "multiagent", ignore=shutil.ignore_patterns("__pycache__", "*.wasm"))
    for part in ("core", "engines", "agents", "orchestrator", "storage", "testing"):
        compileall.compile_dir(source / "multiagent" / part, quiet=1)
    yield Lab(recording, source)
    shutil.rmtree(base)


def test_an_unedited_copy_of_the_product_replays_the_run(lab: Lab) -> None:
    verdict = replay_elsewhere(lab.recording, path=[str(lab.source)])
    assert (verdict.replayed, verdict.drifted) == (1, ())


@pytest.mark.requirement("A5.edits")
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.what)
def test_an_edit_of_the_products_workflow_is_detected(lab: Lab, edit: Edit) -> None:
    path = lab.source / "multiagent" / edit.file
    before = path.read_text("utf-8")
    after, count = re.subn(edit.pattern, edit.new, before, count=1, flags=re.DOTALL)
    assert count == 1, "the edit no longer fits the file; write it anew"
    assert after != before
    written = path.stat().st_mtime_ns
    path.write_text(after, "utf-8")
    try:
        verdict = replay_elsewhere(lab.recording, path=[str(lab.source)])
    finally:
        path.write_text(before, "utf-8")
        os.utime(path, ns=(written, written))  # its compiled file is good again
    assert verdict.replayed == 0, "the edit was not noticed"
    assert "NON_DETERMINISM" in verdict.drifted[0], verdict.drifted
