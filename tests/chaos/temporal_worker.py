"""A process that does every service's steps on Temporal until it is ended; kill tests start it again and again.

``python tests/chaos/temporal_worker.py ADDRESS NAMESPACE HOME URL [POISON_KEY]``. It keeps no run in memory between two
workflow tasks, so that each is rebuilt from the server's history. The step of that key takes its process with it.
"""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

from multiagent.app.faults import arm
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.events import EventKind
from multiagent.core.step import StepDef
from multiagent.engines.base import Context, Step, StepInfo, Workflow
from multiagent.engines.temporal.activities import Activities
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.means import Means
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.engines.temporal.table import freeze
from multiagent.engines.temporal.worker import Size, make_worker
from multiagent.engines.timers import TimerQueue
from multiagent.storage.factory import open_storage
from multiagent.testing.workflows import LIMITED, TIDY, WORK, WORKFLOWS, Job, Said


async def _chorus(ctx: Context, job: Job) -> Job:
    """``value`` voices at once: each says something, does a step, and waits for another that nobody is there to do."""

    async def voice(place: int) -> Job:
        ctx.emit(EventKind.AGENT_STATE, Said(f"voice {place}"))
        await ctx.step(WORK, Job(place), f"voice/{place}")
        ctx.emit(EventKind.AGENT_STATE, Said(f"voice {place} again"))
        try:
            return await ctx.timeout(0.02, ctx.step(NOBODYS, Job(place), f"nobody/{place}"))
        except TimeoutError:
            ctx.emit(EventKind.AGENT_STATE, Said(f"voice {place} is done"))
            return job

    async with ctx.group() as group:
        for place in range(job.value):
            group.spawn(voice(place))
    return job


NOBODYS: Final = StepDef("nobodys", Job, Job, "ledger")
"""A step of a service without workers: what rides with it is carried by nobody."""
CHORUS: Final = Workflow("chorus", _chorus, Job, Job)
KEY: Final = b"a key of 32 bytes, for tests only"[:32]
AT_ONCE: Final = 6
"""Steps at once: few, so that no step is in flight at three kills, which would rightly poison it."""


async def work(options: TemporalOptions, home: Path, url: str, poison: str) -> None:
    """Work for ever."""
    clock, ids = SystemClock(), SystemIds()

    async def code(info: StepInfo, job: Job) -> Job:
        if info.key == poison:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.002)
        return Job(job.value + 1)

    steps = {one.name: Step(one, code) for one in (WORK, TIDY, LIMITED)}
    async with open_storage(home, clock=clock, ids=ids, url=url, connections=4) as storage:
        link = Link(options, storage.objects)
        client = await link.connected()
        timers = TimerQueue(clock)
        means = Means(storage.writer, storage.reader, storage.objects, clock, timers, ids(), steps)
        activities, size = Activities(means), Size(cached=0, steps=AT_ONCE)
        with freeze((*WORKFLOWS, CHORUS)):
            workers = [make_worker(client, options, name, activities, size=size) for name in ("orchestrator", "agent")]
            await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    arm(os.environ)
    address, namespace, place, database, *poison = sys.argv[1:]
    asyncio.run(work(TemporalOptions(address, namespace, "test", KEY), Path(place), database, "".join(poison)))
