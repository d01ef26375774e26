"""The engine on Temporal on a bench: client and workers in this process, on a namespace of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from multiagent.core.step import Queue
from multiagent.engines.base import Engine, ServedEngine, Step, Workers, Workflow
from multiagent.engines.factory import EngineParts, open_temporal, open_workers
from multiagent.engines.kernel import PAUSE, RESUME
from multiagent.engines.temporal.options import Load, TemporalOptions
from multiagent.storage.factory import Storage, open_sequencer, open_storage
from multiagent.testing.bench import GUARD, Bench
from multiagent.testing.clock import PushedClock
from multiagent.testing.replayed import RecordedEngine, Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import WORKFLOWS

SERVICES: Final[tuple[Queue, ...]] = ("orchestrator", "agent")
KEY: Final = b"a key of 32 bytes, for tests only"[:32]
TICK: Final = 0.005
_TIMER_S: Final = 2
_PUSH_EVERY: Final = 0.02
_PUSH_MOST: Final = 0.25


class SettledEngine(RecordedEngine):
    """Waits until what was sent is taken, as an engine of this process does: the server has it before that."""

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002 - the port's
        """See ``Engine.signal``."""
        await super().signal(tenant, task, name, value, id)
        await self._taken(tenant, task, f"{name}~{id}")

    async def pause(self, tenant: str, task: str, reason: str, id: str) -> None:  # noqa: A002 - the port's
        """See ``Engine.pause``."""
        await super().pause(tenant, task, reason, id)
        await self._taken(tenant, task, f"{PAUSE}~{id}")

    async def resume(self, tenant: str, task: str, id: str) -> None:  # noqa: A002 - the port's
        """See ``Engine.resume``."""
        await super().resume(tenant, task, id)
        await self._taken(tenant, task, f"{RESUME}~{id}")

    async def _taken(self, tenant: str, task: str, key: str) -> None:
        async with asyncio.timeout(GUARD):
            while all(row.key != key for row in await self.history(tenant, task)):  # noqa: ASYNC110 — it tells nobody
                await asyncio.sleep(TICK)


class TemporalBench(Bench):
    """See ``Bench``. Timers of workflows are the server's own, so they are short; limits of steps are pushed on."""

    clock: PushedClock
    tick = TICK
    recoveries = 0

    def __init__(self, home: Path, register: Register, options: TemporalOptions, url: str = "") -> None:
        super().__init__(home, register, SettledEngine)
        self.clock = PushedClock()
        self.options = options
        self.services: Sequence[Queue] = SERVICES
        self.grace_s = 0.0
        self._url = url
        self.workers: Workers
        self.served: ServedEngine

    def _opened_storage(self) -> AbstractAsyncContextManager[Storage]:
        return open_storage(self._home, clock=self.clock, ids=self._ids, synchronous="NORMAL", url=self._url)

    async def _opened_engine(
        self, parts: EngineParts, workflows: Sequence[Workflow[Any, Any]], steps: Sequence[Step[Any, Any]]
    ) -> AbstractAsyncContextManager[Engine]:
        if self._url:
            await self._stack.enter_async_context(open_sequencer(self._url))
        opening = open_workers(self.options, parts, workflows, steps, self.services, Load(grace_s=self.grace_s))
        self.workers = await self._stack.enter_async_context(opening)
        await self.until(self.workers.ready)
        self.served = await self._stack.enter_async_context(open_temporal(self.options, parts, workflows, steps))
        return nullcontext(self.served)

    async def restart(self, workflows: Sequence[Workflow[Any, Any]] = WORKFLOWS) -> tuple[str, ...]:
        """End, begin again; return the ids of the tasks that were under way and are so still."""
        before = {row.id for row in await self.storage.reader.unfinished()}
        await super().restart(workflows)
        return tuple(row.id for row in await self.storage.reader.unfinished() if row.id in before)

    def seconds(self, wished: int) -> int:
        """Nobody moves the server's time, so a timer is short."""
        return _TIMER_S

    def lasted(self, milliseconds: int, wished: int) -> bool:
        """A server's timer never comes early; how late it comes is not known."""
        return wished * 1000 <= milliseconds < (wished + GUARD) * 1000

    async def drive(self, work: "asyncio.Task[Any]", seconds: float) -> None:
        """Push the clock on gently until the work is done: what is stored meanwhile takes its own time."""
        async with asyncio.timeout(GUARD):
            while not work.done():
                await asyncio.sleep(_PUSH_EVERY)
                self.clock.advance(min(seconds, _PUSH_MOST))

    async def until_async(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Let everything run until a condition holds that has to be asked for."""
        async with asyncio.timeout(GUARD):
            while not await condition():  # noqa: ASYNC110 — it is the server that leads to it
                await asyncio.sleep(self.tick)

    async def pass_time(self, seconds: float) -> None:
        """Push the clock of this process on; what waits for the server's timers waits for them."""
        self.clock.advance(seconds)
        await asyncio.sleep(self.tick)


@asynccontextmanager
async def open_temporal_bench(
    home: Path, register: Register, server: TemporalServer, url: str = ""
) -> AsyncIterator[TemporalBench]:
    """Open a bench on a home, in a new namespace of a server; ``url`` is that of an empty PostgreSQL database."""
    options = TemporalOptions(server.address, await server.namespace(), "test", KEY)
    bench = TemporalBench(home, register, options, url)
    await bench.open()
    try:
        yield bench
    finally:
        await bench.close()
