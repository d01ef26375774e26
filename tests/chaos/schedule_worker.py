"""A process that keeps the time of a schedule in a home until it has so many runs; kill tests start it again and again.

``python -m tests.chaos.schedule_worker HOME RUNS``. Each run is a task under its time, begun on the engine.
"""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from multiagent.app.faults import arm
from multiagent.app.lifecycle import background
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.errors import InvalidInput
from multiagent.core.principal import Principal
from multiagent.core.schedule import Schedule
from multiagent.engines.base import Step
from multiagent.engines.factory import EngineParts, embedded_schedules, open_engine
from multiagent.engines.schedules.book import runs
from multiagent.storage.factory import open_storage
from multiagent.testing.scheduling import TENANT, Hand, add
from multiagent.testing.workflows import HEAR, WORK

GUARD_S = 60


async def work(home: Path, wanted: int) -> None:
    """Keep time until the schedule has so many runs."""
    clock, ids = SystemClock(), SystemIds()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        storage = await enter(open_storage(home, clock=clock, ids=ids, synchronous="NORMAL"))
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        schedules = embedded_schedules(parts)
        workflows, steps = (HEAR, *schedules.workflows), (Step(WORK, add), *schedules.steps)
        engine = await enter(open_engine(home, parts, workflows, steps))
        hand = Hand(storage.writer, engine, ids, clock.now)
        schedules.attach(engine, hand.fire, hand.stop)
        await engine.recover()
        await enter(background(schedules.run()))
        await schedules.settle()
        often = Schedule("often", "do it", Principal(TENANT, "user"), every_s=1, overlap="allow_all")
        try:
            await schedules.create(TENANT, often, "command")
        except InvalidInput as error:
            sys.stderr.write(f"{error}\n")
            raise
        async with asyncio.timeout(GUARD_S):
            while len(await runs(storage.reader, TENANT, "often", 1_000)) < wanted:
                await clock.sleep(0.02)


if __name__ == "__main__":
    arm(os.environ)
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
