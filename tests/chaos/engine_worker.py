"""A process that works in a home until all its tasks have ended; kill tests start it again and again.

``python tests/chaos/engine_worker.py HOME TASKS [POISON_KEY]``. Every step's code writes a line to ``ledger`` before
it does its work, past the database, so that what ran can be compared with what was committed.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from multiagent.app.faults import arm
from multiagent.app.system import SystemClock, SystemIds
from multiagent.engines.base import Step, StepInfo
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.storage.factory import open_storage
from multiagent.testing.workflows import LIMITED, STORM, TIDY, WORK, WORKFLOWS, Job

TENANT = "tenant"
GUARD_S = 60


def task_ids(count: int) -> list[str]:
    """The tasks' ids, always the same."""
    return [f"storm-{number}" for number in range(count)]


async def work(home: Path, tasks: int, poison: str) -> None:
    """Recover, start what is not started, wait for everything."""
    ledger = os.open(home / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    clock, ids = SystemClock(), SystemIds()

    async def code(info: StepInfo, job: Job) -> Job:
        os.write(ledger, f"{info.task} {info.key} {info.attempt}\n".encode())
        if info.key == poison:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.002)
        return Job(job.value + 1)

    steps = [Step(definition, code) for definition in (WORK, TIDY, LIMITED)]
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        async with open_engine(home, parts, WORKFLOWS, steps) as engine:
            await engine.recover()
            for task in task_ids(tasks):
                await engine.start(TENANT, task, STORM.name, msgspec.json.encode(Job(1)))
                await engine.signal(TENANT, task, "go", b"word", "signal-1")
            async with asyncio.timeout(GUARD_S):
                await asyncio.gather(*(engine.result(TENANT, task) for task in task_ids(tasks)))
    os.close(ledger)


if __name__ == "__main__":
    arm(os.environ)
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""))
