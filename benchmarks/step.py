"""What a durable step costs: CPU time and time, NORMAL and FULL, one after another and five at once.

Run: ``python benchmarks/step.py [STEPS]``. Beside it: the same code on plain asyncio, which keeps nothing.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.step import StepDef
from multiagent.engines.base import Context, Engine, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.storage.factory import open_storage

ROUNDS = 3
WIDE = 5


class Number(msgspec.Struct, frozen=True):
    """Input and output."""

    value: int = 0


ADD = StepDef("add", Number, Number, "agent")


async def add(_info: StepInfo, data: Number) -> Number:
    """The step's work: nothing, so that only the durability is measured."""
    return Number(data.value + 1)


async def _chain(ctx: Context, data: Number) -> Number:
    last = Number()
    for place in range(data.value):
        last = await ctx.step(ADD, last, f"s/{place}")
    return last


async def _branch(ctx: Context, name: str, steps: int) -> int:
    for place in range(steps):
        await ctx.step(ADD, Number(place), f"{name}/{place}")
    return steps


async def _wide(ctx: Context, data: Number) -> Number:
    async with ctx.group() as group:
        handles = [group.spawn(_branch(ctx, f"b{branch}", data.value // WIDE)) for branch in range(WIDE)]
    return Number(sum(handle.result() for handle in handles))


CHAIN = Workflow("chain", _chain, Number, Number)
WIDELY = Workflow("wide", _wide, Number, Number)


async def measure(engine: Engine, workflow: str, steps: int) -> tuple[float, float]:
    """CPU and clock milliseconds a step, the best of some rounds."""
    best = (1e9, 1e9)
    for number in range(ROUNDS + 1):
        cpu, clock = time.process_time(), time.perf_counter()
        task = f"{workflow}-{steps}-{number}"
        await engine.start("bench", task, workflow, msgspec.json.encode(Number(steps)))
        result = await engine.result("bench", task)
        if result.status != "completed":
            raise RuntimeError(result.message)
        took = (time.process_time() - cpu) * 1000 / steps, (time.perf_counter() - clock) * 1000 / steps
        best = min(best, took) if number else best  # the first round warms up
    return best


async def plain(steps: int) -> float:
    """CPU milliseconds of the same code, a task each, on plain asyncio."""
    began = time.process_time()
    info: StepInfo = None  # type: ignore[assignment] # the code does not look at it
    last = Number()
    for _ in range(steps):
        last = await asyncio.create_task(add(info, last))
    return (time.process_time() - began) * 1000 / steps


async def main() -> None:
    """Print the figures."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for synchronous in ("NORMAL", "FULL"):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            clock, ids = SystemClock(), SystemIds()
            async with open_storage(home, clock=clock, ids=ids, synchronous=synchronous) as storage:
                parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
                async with open_engine(home, parts, [CHAIN, WIDELY], [Step(ADD, add)]) as engine:
                    for name, label in (("chain", "one by one"), ("wide", "five at once")):
                        cpu, wall = await measure(engine, name, steps)
                        print(f"{synchronous:6} {label:12}: {cpu:.3f} CPU-ms, {wall:.3f} ms a step (aim <= 0.3 CPU-ms)")
    print(f"plain asyncio       : {await plain(steps):.3f} CPU-ms a step (keeps nothing)")


if __name__ == "__main__":
    asyncio.run(main())
