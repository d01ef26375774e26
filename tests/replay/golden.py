"""Makes golden histories: ``python -m tests.replay.golden NAME`` keeps one run of a workflow in ``golden/``.

A golden history is a promise to runs that are under way somewhere: once it is there it is never made again.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from multiagent.core.settings import TaskSettings
from multiagent.core.travel import Changes, Edit
from multiagent.engines.base import Workflow
from multiagent.testing.bench import TENANT, Bench, Gate, open_bench
from multiagent.testing.replayed import Register
from multiagent.testing.workflows import (
    ASKS,
    CHAIN,
    CHANCE,
    CONTAINED,
    DRILL,
    EMITS,
    HEAR,
    LATE,
    SETTINGS,
    SLEEP,
    STORM,
    TIDIES,
    Job,
)

FOLDER = Path(__file__).with_name("golden")


async def _cancelled(bench: Bench, task: str) -> None:
    await bench.engine.cancel(TENANT, task, "not needed")


async def _signalled(bench: Bench, task: str) -> None:
    for word in ("one", "two"):
        await bench.engine.signal(TENANT, task, "go", word.encode(), word)


async def _paused(bench: Bench) -> str:
    gate = bench.code["chain/0"] = Gate()
    task = await bench.start(CHAIN, 3)
    await bench.engine.pause(TENANT, task, "to look at it", "p1")
    gate.open()
    await bench.rows_when(task, 2)
    await bench.engine.resume(TENANT, task, "r1")
    return task


async def _forked(bench: Bench) -> str:
    parent = await bench.start(SETTINGS, 3)
    await bench.value(parent)
    await bench.engine.fork(TENANT, "fork", parent, "settings/0", Changes(TaskSettings(max_agents=2)))
    await bench.value("fork")
    edit = Edit("settings/1", "/value", b"7")
    await bench.engine.fork(TENANT, "forks-fork", "fork", "settings/1", Changes(edit=edit))
    return "forks-fork"


async def _asked_again(bench: Bench) -> str:
    parent = await bench.start(ASKS)
    await bench.rows_when(parent, 1)
    await bench.engine.fork(TENANT, "fork", parent, "ask/0", Changes())
    await bench.engine.signal(TENANT, parent, "answer/0", b"yes", "1")
    await bench.engine.signal(TENANT, "fork", "answer/1", b"no", "2")
    return "fork"


STEERED = {"paused": _paused, "forked": _forked, "asked-again": _asked_again}
RUNS: dict[str, tuple[Workflow[Job, Job], int]] = {
    "chance": (CHANCE, 0), "contained": (CONTAINED, 4), "emits": (EMITS, 3), "hear": (HEAR, 2), "late": (LATE, 5),
    "sleep": (SLEEP, 10), "storm": (STORM, 1), "tidies": (TIDIES, 0), "drill": (DRILL, 1), "paused": (CHAIN, 3),
    "forked": (SETTINGS, 3), "asked-again": (ASKS, 0),
}  # fmt: skip


async def drive(bench: Bench, name: str, push: float = 0.5) -> str:
    """Run a workflow to its end, the clock moved on by so many seconds at a time; return its task's id."""
    workflow, value = RUNS[name]
    if name in ("late", "sleep"):
        value = bench.seconds(value)
    if name in ("tidies", "late"):
        bench.code["work" if name == "tidies" else "slow"] = Gate()
    task = await STEERED[name](bench) if name in STEERED else await bench.start(workflow, value)
    if name == "tidies":
        await _cancelled(bench, task)
    if name in ("hear", "storm"):
        await _signalled(bench, task)
    await bench.drive(asyncio.create_task(bench.result(task)), push)
    return task


async def make(name: str, folder: Path) -> None:
    """Run a workflow on the embedded engine and keep its history."""
    workflow, _ = RUNS[name]
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as kept:
        async with open_bench(Path(home), Register(Path(kept))) as bench:
            task = await drive(bench, name)
            made = Register(Path(kept))
            await made.record("home", task, bench.storage.reader, bench.storage.objects, workflow, TENANT)
            recording = next(Path(kept).glob("*.json")).read_bytes()
    (folder / f"{name}.json").write_bytes(recording + b"\n")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for wanted in sys.argv[1:]:
        asyncio.run(make(wanted, FOLDER))
