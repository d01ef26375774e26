"""The workers of one process while they live: connected in their own time, drained in good order.

Where the process is an orchestrator it also looks after the runs: drift is put away, and rows are compared with the
server.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import Worker

from multiagent.core.errors import EngineUnavailable, PlatformError
from multiagent.core.retry import Backoff
from multiagent.core.step import Queue
from multiagent.engines.temporal.activities import Activities
from multiagent.engines.temporal.asking import ORCHESTRATOR
from multiagent.engines.temporal.ground import Ground
from multiagent.engines.temporal.looks import Looks
from multiagent.engines.temporal.means import Means
from multiagent.engines.temporal.options import Load
from multiagent.engines.temporal.quarantine import Drifted
from multiagent.engines.temporal.reconcile import Reconciler
from multiagent.engines.temporal.worker import Size, make_worker
from multiagent.engines.timers import TimerQueue

LOOK_SECONDS: Final = 30.0
"""How often rows are compared with the server."""
CLOSING_S: Final = 5.0
"""How long workers may take to close, their steps' grace aside."""
CHECK: Final = timedelta(seconds=3)
"""How long the server may take to say that it is well."""
_BACKOFF: Final = Backoff(base=0.5, most=10.0)
_log = logging.getLogger("multiagent.engine")

Make = Callable[[Client, Queue], Worker]


class TemporalWorkers:
    """See ``Workers``. ``run`` them until they are closed."""

    def __init__(self, ground: Ground, services: Sequence[Queue], make: Make, drifted: Drifted | None) -> None:
        self._ground = ground
        self._services = services
        self._make = make
        self._drifted = drifted
        self._workers: list[Worker] = []
        self._closing = False

    async def check(self) -> None:
        """See ``Workers.check``."""
        link = self._ground.link
        if not self.ready():
            raise EngineUnavailable(f"Temporal at {link.options.address} is not reached yet")
        await link.call("a question for its health", lambda client: client.service_client.check_health(timeout=CHECK))

    def ready(self) -> bool:
        """Whether they have reached the server and poll it."""
        return bool(self._workers) and all(worker.is_running for worker in self._workers) and not self._closing

    async def drain(self, seconds: float) -> None:
        """Take nothing new, and wait so long for the steps that run."""
        self._closing = True
        stopping = [asyncio.ensure_future(worker.shutdown()) for worker in self._workers if worker.is_running]
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=seconds)
            if late:
                _log.warning("some steps did not end within %g s; other workers run them again", seconds)

    async def run(self) -> None:
        """Reach the server, work, and begin again where the library gives up; return once they are drained."""
        tries = 0
        while not self._closing:
            client = await self._ground.link.reach(self._ground.clock)
            await self._look_back()
            try:
                await self._work(client)
            except* RuntimeError as errors:  # how the library says that a worker cannot go on
                (error, *_) = errors.exceptions
                delay = _BACKOFF.delay(tries, random.random())  # noqa: S311 — jitter, no secret
                _log.warning("the workers stopped (%s); they begin again in %.1f s", error, delay)
                await self._ground.clock.sleep(delay)
                tries += 1

    async def look_after(self) -> None:
        """Compare rows with the server from time to time, for ever."""
        reconciler = Reconciler(self._ground)
        while True:
            await self._ground.clock.sleep(LOOK_SECONDS)
            await _tried("rows could not be compared with the server", reconciler.once())
            if self._drifted is not None:
                await _tried("quiet runs could not be asked for", self._drifted.scan())

    async def _work(self, client: Client) -> None:
        self._workers = [self._make(client, service) for service in self._services]
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(worker.run())

    async def _look_back(self) -> None:
        if self._drifted is not None:
            await _tried("open runs could not be checked for drift", self._drifted.look_back())


async def _tried(trouble: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except PlatformError as error:
        _log.warning("%s: %s", trouble, error)


@asynccontextmanager
async def working(
    ground: Ground, services: Sequence[Queue], load: Load, looks: Looks | None = None
) -> AsyncIterator[TemporalWorkers]:
    """Work in the background for the block, within ``load``."""
    timers = TimerQueue(ground.clock)
    means = Means(ground.writer, ground.reader, ground.objects, ground.clock, timers, ground.owner, ground.steps)
    activities = Activities(means, looks)
    drifted = Drifted(ground) if ORCHESTRATOR in services else None

    def make(client: Client, service: Queue) -> Worker:
        runner = drifted.runner() if drifted is not None and service == ORCHESTRATOR else None
        size = Size(steps=load.steps, grace_s=load.grace_s)
        return make_worker(client, ground.link.options, service, activities, runner=runner, size=size)

    workers = TemporalWorkers(ground, services, make, drifted)
    loops = [workers.run()] if drifted is None else [workers.run(), drifted.run(), workers.look_after()]
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield workers
    finally:
        await workers.drain(load.grace_s + CLOSING_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await timers.close()
