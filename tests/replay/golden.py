"""Makes golden histories: ``python -m tests.replay.golden NAME`` keeps one run of a workflow in ``golden/``.

A golden history is a promise to runs that are under way somewhere: once it is there it is never made again.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from multiagent.engines.base import Workflow
from multiagent.testing.bench import TENANT, Bench, Gate, open_bench
from multiagent.testing.replayed import Register
from multiagent.testing.workflows import CHANCE, CONTAINED, EMITS, HEAR, LATE, SLEEP, STORM, TIDIES, Job

FOLDER = Path(__file__).with_name("golden")


async def _cancelled(bench: Bench, task: str) -> None:
    await bench.engine.cancel(TENANT, task, "not needed")


async def _signalled(bench: Bench, task: str) -> None:
    for word in ("one", "two"):
        await bench.engine.signal(TENANT, task, "go", word.encode(), word)


RUNS: dict[str, tuple[Workflow[Job, Job], int]] = {
    "chance": (CHANCE, 0), "contained": (CONTAINED, 4), "emits": (EMITS, 3), "hear": (HEAR, 2), "late": (LATE, 5),
    "sleep": (SLEEP, 10), "storm": (STORM, 1), "tidies": (TIDIES, 0),
}  # fmt: skip


async def drive(bench: Bench, name: str) -> str:
    """Run a workflow to its end; return its task's id."""
    workflow, value = RUNS[name]
    if name in ("tidies", "late"):
        bench.code["work" if name == "tidies" else "slow"] = Gate()
    task = await bench.start(workflow, value)
    if name == "tidies":
        await _cancelled(bench, task)
    if name in ("hear", "storm"):
        await _signalled(bench, task)
    await bench.drive(asyncio.create_task(bench.result(task)), 0.5)
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
