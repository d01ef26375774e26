"""An engine on a bench: steps whose code a test writes, a clock it moves, and restarts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from multiagent.core.events import Event
from multiagent.core.outcome import Outcome
from multiagent.engines.base import Engine, RunResult, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.base import TaskRow
from multiagent.testing.clock import ManualClock, PushedClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayed import RecordedEngine, Register, recorded_by
from multiagent.testing.workflows import LIMITED, TIDY, WORK, WORKFLOWS, Job

TENANT: Final = "tenant"
GUARD: Final = 20.0
"""Seconds after which a wait of a test is a deadlock."""

Code = Callable[[StepInfo, Job], Awaitable[Job]]


class Bench:
    """The engine under test: the embedded one here, another in a child.

    ``code`` maps step keys (or ``*``) to what they do; by default they add one.
    """

    clock: ManualClock | PushedClock
    tick: float = 0
    """Seconds between two looks at what a test waits for: 0 where nothing outside this loop leads to it."""
    recoveries = 1
    """How often the log tells that a run was gone on with, a restart."""

    def __init__(self, home: Path, register: Register, kind: type[RecordedEngine] = RecordedEngine) -> None:
        self._home = home
        self._kind = kind
        self._register = register
        self._stack = AsyncExitStack()
        self._workflows: Sequence[Workflow[Any, Any]] = WORKFLOWS
        self._ids = CountedIds()
        self._tasks = 0
        self.clock = ManualClock()
        self.code: dict[str, Code] = {}
        self.ran: list[tuple[str, int]] = []
        self.storage: Storage
        self.engine: RecordedEngine

    async def open(self, workflows: Sequence[Workflow[Any, Any]] = WORKFLOWS) -> None:
        """Open storage and engine on the home."""
        self.storage = await self._stack.enter_async_context(self._opened_storage())
        parts = EngineParts(self.storage.writer, self.storage.reader, self.storage.objects, self.clock, self._ids)
        opening = await self._opened_engine(parts, workflows, [Step(one, self._run) for one in (WORK, TIDY, LIMITED)])
        self.engine = await self._stack.enter_async_context(
            recorded_by(self._register, self._home, parts, workflows, opening, self._kind)
        )

    def _opened_storage(self) -> AbstractAsyncContextManager[Storage]:
        return open_storage(self._home, clock=self.clock, ids=self._ids, synchronous="NORMAL")

    async def _opened_engine(
        self, parts: EngineParts, workflows: Sequence[Workflow[Any, Any]], steps: Sequence[Step[Any, Any]]
    ) -> AbstractAsyncContextManager[Engine]:
        return open_engine(self._home, parts, workflows, steps)

    async def close(self) -> None:
        """End as a process ends in good order."""
        await self._stack.aclose()

    async def restart(self, workflows: Sequence[Workflow[Any, Any]] = WORKFLOWS) -> tuple[str, ...]:
        """End, begin again, and go on with what was under way; return those tasks' ids."""
        await self.close()
        self._stack = AsyncExitStack()
        await self.open(workflows)
        return await self.engine.recover()

    async def _run(self, info: StepInfo, job: Job) -> Job:
        self.ran.append((info.key, info.attempt))
        code = self.code.get(info.key) or self.code.get("*")
        return Job(job.value + 1) if code is None else await code(info, job)

    async def start(self, workflow: Workflow[Any, Any], value: int = 0, text: str = "") -> str:
        """Start a run; return its task's id."""
        self._tasks += 1
        task = f"task-{self._tasks}"
        await self.engine.start(TENANT, task, workflow.name, msgspec.json.encode(Job(value, text)))
        return task

    async def result(self, task: str) -> RunResult:
        """Wait for a run's end."""
        async with asyncio.timeout(GUARD):
            return await self.engine.result(TENANT, task)

    async def value(self, task: str) -> Job:
        """Wait for a run to complete; return its output."""
        done = await self.result(task)
        assert done.status == "completed", done
        return msgspec.json.decode(done.value, type=Job)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let everything run until a condition holds."""
        async with asyncio.timeout(GUARD):
            while not condition():  # noqa: ASYNC110 — turns of the loop, not of the clock
                await asyncio.sleep(self.tick)

    async def pass_time(self, seconds: float) -> None:
        """Move the clock on once somebody sleeps by it."""
        await self.until(lambda: self.clock.sleepers > 0)
        self.clock.advance(seconds)

    def seconds(self, wished: int) -> int:
        """Return how long a workflow's timer is to be where ``pass_time`` would let ``wished`` seconds pass."""
        return wished

    def lasted(self, milliseconds: int, wished: int) -> bool:
        """Whether timers of ``wished`` seconds, together, took what they should."""
        return milliseconds == wished * 1000

    async def drive(self, work: "asyncio.Task[Any]", seconds: float) -> None:
        """Move the clock on in small steps, whenever somebody sleeps by it, until the work is done."""
        async with asyncio.timeout(GUARD):
            while not work.done():
                await asyncio.sleep(self.tick)
                if self.clock.sleepers:
                    self.clock.advance(seconds)

    async def row_when(self, task: str, condition: Callable[[TaskRow], bool]) -> TaskRow:
        """Return a task's row once it fits a condition."""
        async with asyncio.timeout(GUARD):
            while True:
                row = await self.storage.reader.task(TENANT, task)
                if row is not None and condition(row):
                    return row
                await asyncio.sleep(self.tick)

    async def rows_when(self, task: str, count: int) -> tuple[Outcome, ...]:
        """Return a task's journal once it has so many rows."""
        async with asyncio.timeout(GUARD):
            while len(rows := await self.engine.history(TENANT, task)) < count:  # noqa: ASYNC110 — turns of the loop
                await asyncio.sleep(self.tick)
        return rows

    async def events(self, task: str) -> tuple[Event, ...]:
        """Return a task's events."""
        return await self.storage.reader.events(TENANT, task)

    def runs_of(self, key: str) -> int:
        """How often a step's code was begun."""
        return sum(ran == key for ran, _ in self.ran)


@asynccontextmanager
async def open_bench(home: Path, register: Register) -> AsyncIterator[Bench]:
    """Open a bench on a home."""
    bench = Bench(home, register)
    await bench.open()
    try:
        yield bench
    finally:
        await bench.close()


class Gate:
    """Step code that waits until it is let through; ``waiting`` counts those at the gate."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.waiting = 0
        self.cancelled = 0

    async def __call__(self, info: StepInfo, job: Job) -> Job:
        """Wait, then add one."""
        self.waiting += 1
        try:
            async with asyncio.timeout(GUARD):
                await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        return Job(job.value + 1)

    def open(self) -> None:
        """Let everyone through, now and later."""
        self._open.set()
