"""What a model call costs at the gate: CPU milliseconds a call with a model that answers at once.

Policy (a callable), reserve in four scopes, settle with completion and bill in one commit, exact-cache write: beside a
bare loop over the same provider that only collects the answer and prices it, in the same run.

    python -m benchmarks.gate [--calls 2000] [--parallel 5]
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Literal

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Limit, ScopeLimit, ScopeRef
from multiagent.core.decision import Ask, Decision
from multiagent.core.messages import says
from multiagent.core.principal import Principal
from multiagent.core.usage import cost
from multiagent.llm.base import CallContext, ModelRequest, StreamEnd, TextDelta
from multiagent.llm.gate import GateSettings, GateStorage, ModelGate
from multiagent.llm.gate_endpoints import Endpoints, Serving
from multiagent.storage.factory import open_storage
from multiagent.testing.vendor_stub import VendorStub, stub_model

TEXT = " ".join(f"word{number}" for number in range(40))
MODEL = stub_model()
SCOPES = tuple(ScopeLimit(ScopeRef(kind, "x"), Limit(10**12, 10**18)) for kind in ("request", "agent", "task", "user"))


async def allow(_ask: Ask) -> Decision:
    """Policy that answers at once."""
    return Decision(allow=True)


def request(number: int) -> ModelRequest:
    """A short conversation that no other call has."""
    system, user = says("system", "Be brief. " * 40), says("user", f"Question {number}: what is it?")
    return ModelRequest((system, user), max_output=500)


async def bare(count: int, parallel: int) -> float:
    """Return the CPU-ms a call of the bare loop."""
    vendor = VendorStub(TEXT)

    async def one(number: int) -> int:
        text: list[str] = []
        price = 0
        async for chunk in vendor.stream(MODEL, request(number)):
            if isinstance(chunk, TextDelta):
                text.append(chunk.text)
            elif isinstance(chunk, StreamEnd) and chunk.usage is not None:
                price = cost(chunk.usage, MODEL.rates)
        return price + len("".join(text))

    started = time.process_time()
    for start in range(0, count, parallel):
        await asyncio.gather(*(one(number) for number in range(start, start + parallel)))
    return (time.process_time() - started) * 1000 / count


async def gated(count: int, parallel: int, synchronous: str, *, again: bool = False) -> tuple[float, float]:
    """Return the CPU-ms and the wall-ms a call through the gate; ``again``: of calls whose key is committed."""
    clock, ids = SystemClock(), SystemIds()
    with tempfile.TemporaryDirectory() as home:
        level: Literal["FULL", "NORMAL"] = "FULL" if synchronous == "FULL" else "NORMAL"
        async with open_storage(Path(home), clock=clock, ids=ids, synchronous=level) as storage:
            parts = GateStorage(storage.writer, storage.reader, storage.kv)
            endpoints = Endpoints([Serving(MODEL, VendorStub(TEXT))], clock)
            gate = ModelGate(endpoints, parts, allow, clock, ids, GateSettings(owner="bench"))
            principal = Principal("acme", "ada")

            async def one(number: int) -> None:
                call = CallContext(principal, f"key-{number}", SCOPES, clock.now() + 60_000, task="t1", step="s")
                await gate.complete(request(number), call)

            async def all_of(first: int) -> tuple[float, float]:
                cpu, wall = time.process_time(), time.perf_counter()
                for start in range(first, first + count, parallel):
                    await asyncio.gather(*(one(number) for number in range(start, start + parallel)))
                return (time.process_time() - cpu) * 1000 / count, (time.perf_counter() - wall) * 1000 / count

            await all_of(-count)
            took = await all_of(-count if again else 0)
            await gate.close()
            return took


async def main(count: int, parallel: int) -> None:
    """Print the table."""
    loop = await bare(count, parallel)
    print(f"{count} calls, {parallel} at once, {len(TEXT.split())} pieces an answer")
    print(f"  bare provider loop        {loop:7.3f} CPU-ms a call")
    for level in ("NORMAL", "FULL"):
        cpu, wall = await gated(count, parallel, level)
        print(f"  gate, SQLite {level:6}       {cpu:7.3f} CPU-ms a call ({cpu - loop:+.3f}), {wall:.3f} ms wall")
    cpu, wall = await gated(count, parallel, "NORMAL", again=True)
    print(f"  gate, key committed       {cpu:7.3f} CPU-ms a call, {wall:.3f} ms wall")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--parallel", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.calls, arguments.parallel))
