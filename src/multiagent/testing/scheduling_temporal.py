"""Schedules on a bench of Temporal's: client and workers in this process, on a namespace of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from multiagent.app.lifecycle import background
from multiagent.engines.base import Step
from multiagent.engines.factory import EngineParts, open_temporal, open_workers, temporal_schedules
from multiagent.engines.schedules.base import Schedules
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.storage.factory import open_storage
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, Writer
from multiagent.testing.bench_temporal import KEY, SERVICES
from multiagent.testing.clock import PushedClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayed import Register, recorded_by
from multiagent.testing.scheduling import GUARD, TENANT, Hand, add
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import HEAR, WORK

TICK: Final = 0.05


class TemporalBoard:
    """See ``Board``: on a real server, whose time nobody moves."""

    every = 2

    def __init__(self, home: Path, register: Register, options: TemporalOptions) -> None:
        self._home = home
        self._register = register
        self._stack = AsyncExitStack()
        self._ids = CountedIds()
        self._hand: Hand
        self.options = options
        self.clock = PushedClock()
        self.schedules: Schedules
        self.reader: Reader
        self.writer: Writer
        self.objects: Objects

    async def open(self) -> None:
        """Open storage, workers, client and schedules."""
        enter = self._stack.enter_async_context
        clock, ids = self.clock, self._ids
        storage = await enter(open_storage(self._home, clock=clock, ids=ids, synchronous="NORMAL"))
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        schedules = temporal_schedules(self.options, parts)
        parts = replace(parts, schedules=schedules)
        engine = await enter(open_temporal(self.options, parts, (HEAR,)))
        recorded = await enter(recorded_by(self._register, self._home, parts, (HEAR,), nullcontext(engine)))
        self._hand = Hand(storage.writer, recorded, ids, clock.now)
        schedules.attach(self._hand.fire, self._hand.stop)
        self.reader, self.writer, self.objects, self.schedules = (
            storage.reader,
            storage.writer,
            storage.objects,
            schedules,
        )
        workers = await enter(open_workers(self.options, parts, (HEAR,), (Step(WORK, add),), SERVICES))

        async def ready() -> bool:
            return workers.ready()

        await self.until(ready)
        await enter(background(schedules.run()))

    async def close(self) -> None:
        """End as a process ends in good order."""
        await self._stack.aclose()

    def now(self) -> int:
        """See ``Board``."""
        return self.clock.now()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """See ``Board``."""
        async with asyncio.timeout(GUARD):
            while not await condition():  # noqa: ASYNC110 — it is the server that leads to it
                await asyncio.sleep(TICK)

    async def end(self, task: str) -> None:
        """See ``Board``."""
        async with asyncio.timeout(GUARD):
            await self._hand.end(TENANT, task)

    async def away(self, seconds: int) -> None:
        """See ``Board``; what the server starts meanwhile waits for a worker."""
        await self.close()
        back = self.now() + seconds * 1000

        async def time_to_come_back() -> bool:
            return self.now() >= back

        await self.until(time_to_come_back)
        self._stack = AsyncExitStack()
        await self.open()


@asynccontextmanager
async def open_temporal_board(home: Path, register: Register, server: TemporalServer) -> AsyncIterator[TemporalBoard]:
    """Open a board on a home, in a new namespace of a server."""
    board = TemporalBoard(home, register, TemporalOptions(server.address, await server.namespace(), "test", KEY))
    await board.open()
    try:
        yield board
    finally:
        await board.close()
