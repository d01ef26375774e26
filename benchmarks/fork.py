"""What time travel costs: a fork's start, the state at a cut and a replay, over a run of so many steps.

Run: ``python benchmarks/fork.py [STEPS]``. Prints clock and CPU milliseconds, the best of some rounds.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.ids import Ids
from multiagent.core.step import StepDef
from multiagent.core.travel import AtRow, Changes
from multiagent.engines.base import Context, Engine, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.storage.factory import open_storage

ROUNDS = 7
TENANT = "bench"


class Number(msgspec.Struct, frozen=True):
    """Input and output."""

    value: int = 0


ADD = StepDef("add", Number, Number, "agent")


async def add(info: StepInfo, data: Number) -> Number:
    """A step of no work; in a fork it tells that it began, and waits, so that nothing else is measured."""
    if info.forked_from:
        BEGAN.set()
        await asyncio.Event().wait()
    return Number(data.value + 1)


async def _chain(ctx: Context, data: Number) -> Number:
    last = Number()
    for place in range(data.value):
        last = await ctx.step(ADD, last, f"s/{place}")
    return last


CHAIN = Workflow("chain", _chain, Number, Number)
BEGAN = asyncio.Event()


async def best(work: Callable[[int], Awaitable[None]]) -> tuple[float, float]:
    """Clock and CPU milliseconds, each the best of some rounds; the first one warms up."""
    clocks, cpus = [], []
    for number in range(ROUNDS + 1):
        cpu, clock = time.process_time(), time.perf_counter()
        await work(number)
        clocks.append((time.perf_counter() - clock) * 1000)
        cpus.append((time.process_time() - cpu) * 1000)
    return min(clocks[1:]), min(cpus[1:])


async def measure(engine: Engine, ids: Ids, steps: int) -> None:
    """Print the figures of one run; a fork's id follows its parent's, as ids made later do."""
    parent = ids()
    await engine.start(TENANT, parent, CHAIN.name, msgspec.json.encode(Number(steps)))
    await engine.result(TENANT, parent)
    last = AtRow(steps - 1)

    async def fork(_number: int) -> None:
        BEGAN.clear()
        await engine.fork(TENANT, ids(), parent, last, Changes())
        await BEGAN.wait()

    async def replay(_number: int) -> None:
        await engine.replay(TENANT, parent)

    async def state(_number: int) -> None:
        await engine.state(TENANT, parent, last)

    for name, work, aim in (
        ("fork, until its first step runs", fork, "aim <= 20 ms at 1,000 steps"),
        ("replay, read from storage", replay, "aim <= 40 ms per 1,000 steps"),
        ("state at the last cut", state, ""),
    ):
        clock, cpu = await best(work)
        print(f"{steps:6} steps: {name:32}: {clock:7.2f} ms, {cpu:7.2f} CPU-ms  {aim}")


async def main() -> None:
    """Print the figures, with writes as they are by default."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for synchronous in ("NORMAL", "FULL"):
        print(f"synchronous={synchronous}")
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            clock, ids = SystemClock(), SystemIds()
            async with open_storage(home, clock=clock, ids=ids, synchronous=synchronous) as storage:
                parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
                async with open_engine(home, parts, [CHAIN], [Step(ADD, add)]) as engine:
                    await measure(engine, ids, steps)


if __name__ == "__main__":
    asyncio.run(main())
