"""Many processes: how many steps a second seven of them do, and what three agent processes do that one does not.

    python -m benchmarks.spread [--tasks N]

Real servers: Temporal's (development, its state not synced) and PostgreSQL, with worker processes of two orchestrators,
three agents and two llm, all on this machine. A task is eight steps, by turns on ``llm`` and ``agent``, which do
nothing: what is measured is what the engine costs. Then tasks of eight ``agent`` steps that wait, in processes that do
four at once: one of them, and three.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.step import Queue, StepDef
from multiagent.engines.base import Context, Engine, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_temporal, open_workers
from multiagent.engines.temporal.options import Load, TemporalOptions
from multiagent.storage.factory import Storage, open_storage
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer

TENANT: Final = "bench"
KEY: Final = b"a key of 32 bytes, for a measure"[:32]
STEPS: Final = 8
SEVEN: Final[tuple[Queue, ...]] = ("orchestrator", "orchestrator", "agent", "agent", "agent", "llm", "llm")
WAIT_S: Final = 0.25
AT_ONCE: Final = 4
WAITING: Final = 60
STARTS: Final = 16


class Number(msgspec.Struct, frozen=True):
    """Input and output; ``text`` is as long as a reference to a conversation is."""

    value: int = 0
    wait_s: float = 0.0
    text: str = "x" * 200


THINK = StepDef("think", Number, Number, "llm")
RUN = StepDef("run", Number, Number, "agent")


async def _work(_info: StepInfo, data: Number) -> Number:
    if data.wait_s:
        await asyncio.sleep(data.wait_s)
    return Number(data.value + 1, data.wait_s)


async def _turns(ctx: Context, data: Number) -> Number:
    for at in range(STEPS):
        data = await ctx.step(THINK if at % 2 == 0 else RUN, data, f"s/{at}")
    return data


async def _waits(ctx: Context, data: Number) -> Number:
    for at in range(STEPS):
        data = await ctx.step(RUN, data, f"s/{at}")
    return data


TURNS = Workflow("turns", _turns, Number, Number)
WAITS = Workflow("waits", _waits, Number, Number)


class Ground(msgspec.Struct, frozen=True):
    """Where a process works, and how much it does at once."""

    home: str
    url: str
    address: str
    queues: str
    service: Queue = "agent"
    steps: int = 64

    @property
    def options(self) -> TemporalOptions:
        """The way to Temporal."""
        return TemporalOptions(self.address, "default", self.queues, KEY)


@asynccontextmanager
async def _parts(ground: Ground) -> AsyncGenerator[tuple[Storage, EngineParts]]:
    clock, ids = SystemClock(), SystemIds()
    async with open_storage(Path(ground.home), clock=clock, ids=ids, url=ground.url) as storage:
        yield storage, EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)


async def worker(ground: Ground) -> None:
    """Be one process, until killed."""
    steps = [Step(THINK, _work), Step(RUN, _work)]
    async with (
        _parts(ground) as (_, parts),
        open_workers(
            ground.options, parts, [TURNS, WAITS], steps, [ground.service], Load(steps=ground.steps)
        ) as workers,
    ):
        while not workers.ready():  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0.02)
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()


@contextmanager
def processes(ground: Ground, services: Sequence[Queue]) -> Iterator[list[int]]:
    """Have one worker process a service for the block; yield their pids once they are ready."""
    started = []
    for service in services:
        told = msgspec.json.encode(msgspec.structs.replace(ground, service=service)).decode()
        command = [sys.executable, "-m", "benchmarks.spread", "--worker", told]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    try:
        for one in started:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        yield [one.pid for one in started]
    finally:
        for one in started:
            one.kill()
            one.wait()


def cpu_s(pids: Sequence[int]) -> float:
    """The CPU seconds that these processes have taken."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of the wall, and of the CPU of the worker processes."""

    wall: float
    cpu: float


async def run(engine: Engine, url: str, workflow: str, tasks: int, data: Number, pids: Sequence[int]) -> Spent:
    """Start so many tasks and wait until all have ended."""
    began, before = time.monotonic(), cpu_s(pids)
    names = iter([f"{workflow}-{time.time_ns()}-{number}" for number in range(tasks)])

    async def starts() -> None:
        for name in names:
            await engine.start(TENANT, name, workflow, msgspec.json.encode(data))

    await asyncio.gather(*(starts() for _ in range(STARTS)))
    connection = await asyncpg.connect(url)
    open_rows = "SELECT count(*) FROM task_executions WHERE status NOT IN ('completed', 'failed', 'cancelled')"
    while await connection.fetchval(open_rows):  # noqa: ASYNC110 — other processes write them
        await asyncio.sleep(0.1)
    assert not await connection.fetchval("SELECT count(*) FROM task_executions WHERE status <> 'completed'")
    await connection.close()
    return Spent(time.monotonic() - began, cpu_s(pids) - before)


async def main(tasks: int) -> None:
    """Print the figures."""
    temporal, postgres = TemporalServer(), PostgresServer()
    try:
        async with AsyncExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory())
            ground = Ground(home, postgres.fresh_database(), temporal.address, "seven")
            _, parts = await stack.enter_async_context(_parts(ground))
            with processes(ground, SEVEN) as pids:
                engine = await stack.enter_async_context(open_temporal(ground.options, parts, [TURNS, WAITS]))
                spent = await run(engine, ground.url, TURNS.name, tasks, Number(), pids)
            steps = tasks * STEPS
            print(
                f"seven processes, {tasks} tasks of {STEPS} steps: {spent.wall:.0f} s wall, {tasks / spent.wall:.1f} "
                f"tasks/s, {steps / spent.wall:.0f} steps/s; workers {spent.cpu / steps * 1000:.2f} CPU-ms a step"
            )
            walls = {}
            for agents in (1, 3):
                ground = msgspec.structs.replace(ground, queues=f"waits-{agents}", steps=AT_ONCE)
                services: list[Queue] = ["orchestrator", *SEVEN[2 : 2 + agents]]
                with processes(ground, services) as pids:
                    engine = await stack.enter_async_context(open_temporal(ground.options, parts, [TURNS, WAITS]))
                    spent = await run(engine, ground.url, WAITS.name, WAITING, Number(0, WAIT_S), pids)
                walls[agents] = spent.wall
                rate = WAITING * STEPS / spent.wall
                print(f"{agents} agent processes, steps that wait {WAIT_S} s, {AT_ONCE} at once: {rate:.1f} steps/s")
            print(f"three agent processes against one: × {walls[1] / walls[3]:.2f}")
    finally:
        postgres.close()
        temporal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--worker", default="")
    given = parser.parse_args()
    if given.worker:
        asyncio.run(worker(msgspec.json.decode(given.worker, type=Ground)))
    else:
        asyncio.run(main(given.tasks))
