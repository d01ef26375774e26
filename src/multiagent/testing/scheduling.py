"""Schedules on a bench: runs are tasks that go on until a test ends them, and time passes when a test waits for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec

from multiagent.app.lifecycle import background
from multiagent.core.errors import InvalidInput
from multiagent.core.ids import Ids
from multiagent.core.principal import Principal
from multiagent.core.schedule import Overlap, Schedule, run_key
from multiagent.engines.base import Engine, Step, StepInfo
from multiagent.engines.factory import EngineParts, embedded_schedules, open_engine
from multiagent.engines.schedules.base import ScheduledRun, Schedules
from multiagent.engines.schedules.book import Kept, all_kept, runs
from multiagent.engines.schedules.times import upcoming
from multiagent.storage.factory import Storage, open_sequencer, open_storage
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.ops import CreateTask, TaskCreated
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayed import RecordedEngine, Register, recorded_by
from multiagent.testing.workflows import HEAR, WORK, Job

TENANT: Final = "tenant"
WHO: Final = Principal(TENANT, "user")
REFUSED: Final = "this is refused"
"""The query of runs that cannot be accepted."""
GUARD: Final = 30.0
"""Seconds after which a wait of a test is a deadlock."""
TURNS: Final = 500
"""How often it is looked whether all is at rest, before the clock moves anyway."""


class Board(Protocol):
    """Schedules under test."""

    @property
    def every(self) -> int:
        """A short interval here, in seconds."""
        ...

    @property
    def schedules(self) -> Schedules:
        """What is tested."""
        ...

    @property
    def reader(self) -> Reader:
        """What is stored."""
        ...

    def now(self) -> int:
        """Milliseconds UTC."""
        ...

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Let time pass until a condition holds."""
        ...

    async def end(self, task: str) -> None:
        """Let a run come to its end, and wait for it."""
        ...

    async def away(self, seconds: int) -> None:
        """Be gone for so long: nobody keeps time; then be there again."""
        ...


class Hand:
    """What accepts runs on a bench, as the service does: a row under its key, then the engine."""

    def __init__(self, writer: Writer, engine: Engine, ids: Ids, now: Callable[[], int]) -> None:
        self._writer = writer
        self._engine = engine
        self._ids = ids
        self._now = now

    async def fire(self, tenant: str, schedule: Schedule, planned: int) -> str:
        """See ``Fire``."""
        if schedule.query == REFUSED:
            raise InvalidInput("this cannot be run")
        data = msgspec.json.encode(Job(1))
        op = CreateTask(
            tenant=tenant, id=self._ids(), workflow=HEAR.name, input=data, query=schedule.query, user="user",
            principal=b"", time=self._now(), idempotency_key=run_key(schedule.id, planned),
        )  # fmt: skip
        created = cast("TaskCreated", (await self._writer.commit(op))[0])
        await self._engine.start(tenant, created.id, HEAR.name, data)
        return created.id

    async def stop(self, tenant: str, task: str, reason: str) -> None:
        """See ``Stop``."""
        await self._engine.cancel(tenant, task, reason)

    async def end(self, tenant: str, task: str) -> None:
        """Let a run come to its end."""
        await self._engine.signal(tenant, task, "go", b"end", f"end-{task}")
        await self._engine.result(tenant, task)


class EmbeddedBoard:
    """See ``Board``: on the embedded engine, whose clock the waits move."""

    every = 60

    def __init__(self, home: Path, register: Register, url: str = "") -> None:
        self._home = home
        self._url = url
        self._register = register
        self._stack = AsyncExitStack()
        self._ids = CountedIds()
        self._hand: Hand
        self.engine: RecordedEngine
        self.clock = ManualClock()
        self.step = 1
        """How far the clock moves at a time, in seconds."""
        self.schedules: Schedules
        self.reader: Reader

    async def open(self) -> None:
        """Open storage, engine and schedules on the home; go on with what was under way."""
        storage: Storage = await self._stack.enter_async_context(
            open_storage(self._home, clock=self.clock, ids=self._ids, synchronous="NORMAL", url=self._url)
        )
        if self._url:
            await self._stack.enter_async_context(open_sequencer(self._url))
        parts = EngineParts(storage.writer, storage.reader, storage.objects, self.clock, self._ids)
        schedules = embedded_schedules(parts)
        workflows, steps = (HEAR, *schedules.workflows), (Step(WORK, add), *schedules.steps)
        opening = open_engine(self._home, parts, workflows, steps)
        self.engine = engine = await self._stack.enter_async_context(
            recorded_by(self._register, self._home, parts, workflows, opening)
        )
        self._hand = Hand(storage.writer, engine, self._ids, self.clock.now)
        self.reader, self.schedules = storage.reader, schedules
        schedules.attach(engine, self._hand.fire, self._hand.stop)
        await engine.recover()
        await self._stack.enter_async_context(background(schedules.run()))
        await schedules.settle()

    async def close(self) -> None:
        """End as a process ends in good order."""
        await self._stack.aclose()

    def now(self) -> int:
        """See ``Board``."""
        return self.clock.now()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """See ``Board``; the clock moves once all that is under way waits for it, or for a word."""
        async with asyncio.timeout(GUARD):
            while not await condition():
                await self._at_rest()
                self.clock.advance(self.step)

    async def _at_rest(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
            kept = await all_kept(self.reader)
            decided = not any(overdue(there, self.now()) for there in kept)
            if decided and all(row.status == "waiting" for row in await self.reader.unfinished()):
                return

    async def end(self, task: str) -> None:
        """See ``Board``."""
        async with asyncio.timeout(GUARD):
            await self._hand.end(TENANT, task)

    async def away(self, seconds: int) -> None:
        """See ``Board``."""
        await self.close()
        self.clock.advance(seconds)
        self._stack = AsyncExitStack()
        await self.open()


def overdue(there: Kept, now: int) -> bool:
    """Whether a schedule has a time that nothing is decided about yet."""
    state = there.state
    return bool(state.firing or state.triggered or any(time <= now for time in upcoming(there.schedule, state.seen, 1)))


async def add(_info: StepInfo, job: Job) -> Job:
    """Do the step of a run."""
    return Job(job.value + 1)


@asynccontextmanager
async def open_board(home: Path, register: Register, url: str = "") -> AsyncIterator[EmbeddedBoard]:
    """Open a board of the embedded engine on a home; ``url`` is that of an empty PostgreSQL database."""
    board = EmbeddedBoard(home, register, url)
    await board.open()
    try:
        yield board
    finally:
        await board.close()


def every(board: Board, name: str = "often", overlap: Overlap = "allow_all", query: str = "do it") -> Schedule:
    """Return a schedule at the board's short interval."""
    return Schedule(name, query, WHO, every_s=board.every, overlap=overlap)


async def made(board: Board, name: str = "often", *, under_way: bool = False) -> list[ScheduledRun]:
    """Return a schedule's runs, in the order of their times."""
    return list(reversed(await runs(board.reader, TENANT, name, 1_000, under_way=under_way)))


async def after(board: Board, count: int, name: str = "often", *, under_way: bool = False) -> list[ScheduledRun]:
    """Let time pass until a schedule has so many runs; return them."""

    async def enough() -> bool:
        return len(await made(board, name, under_way=under_way)) >= count

    await board.until(enough)
    return await made(board, name, under_way=under_way)


async def reach(board: Board, time: int) -> None:
    """Let time pass until it is that late."""

    async def late() -> bool:
        return board.now() >= time

    await board.until(late)
