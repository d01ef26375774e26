"""What the kernel costs: a step, and the replay of a thousand, beside plain asyncio doing the same awaits.

Run: ``python benchmarks/kernel.py [STEPS]``. Prints CPU time, the best of several rounds.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable

import msgspec

from multiagent.core.outcome import Outcome
from multiagent.core.step import StepDef
from multiagent.engines.actions import RunStep
from multiagent.engines.base import Context, Workflow
from multiagent.engines.context import begin
from multiagent.engines.kernel import encode
from multiagent.engines.replay import Start, replay

ROUNDS = 7
NOW = 1_750_000_000_000


class Number(msgspec.Struct, frozen=True):
    """Input and output."""

    value: int = 0


STEP = StepDef("add", Number, Number, "agent")


async def chain(ctx: Context, data: Number) -> Number:
    """So many steps, one after another."""
    last = Number()
    for place in range(data.value):
        last = await ctx.step(STEP, last, f"s/{place}")
    return last


CHAIN = Workflow("chain", chain, Number, Number)


def live(steps: int) -> tuple[tuple[Outcome, ...], dict[str, bytes]]:
    """Run live: each step answered as it is asked; return the journal and the results."""
    kernel = begin(CHAIN, "task", encode(Number(steps)), NOW)
    journal: list[Outcome] = []
    results: dict[str, bytes] = {}
    number = 0
    while True:
        yielded = kernel.take()
        number += 1
        action = yielded.actions[-1]
        if not isinstance(action, RunStep):
            value = getattr(action, "value", b"")
            journal.append(Outcome(number, "end", "completed", NOW + number, value, yielded.digest))
            return tuple(journal), results
        value = results[action.key] = encode(Number(number))
        outcome = Outcome(number, "result", action.id, NOW + number, digest=yielded.digest)
        journal.append(outcome)
        kernel.feed(outcome, value)


async def plain(steps: int) -> Number:
    """The same awaits on asyncio's own futures, JSON decoded as the kernel does."""
    loop = asyncio.get_running_loop()
    decode = msgspec.json.Decoder(Number).decode
    last = Number()
    for place in range(steps):
        future: asyncio.Future[bytes] = loop.create_future()
        loop.call_soon(future.set_result, encode(Number(place + 1)))
        last = decode(await future)
    return last


def best(work: Callable[[], object]) -> float:
    """CPU seconds of the best round."""
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Print the figures."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    journal, results = live(steps)
    start = Start("task", encode(Number(steps)), NOW)
    step = best(lambda: live(steps)) / steps * 1e6
    again = best(lambda: replay(CHAIN, start, journal, dict(results))) * 1e3
    beside = best(lambda: asyncio.run(plain(steps))) / steps * 1e6
    print(f"kernel, live:    {step:6.2f} us a step   (aim <= 10)")
    print(f"kernel, replay:  {again:6.2f} ms for {steps} steps   (aim <= 40 for 1,000)")
    print(f"plain asyncio:   {beside:6.2f} us a step   (nothing is recorded, nothing can be replayed)")


if __name__ == "__main__":
    main()
