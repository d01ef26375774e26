"""The job of design §14: 5 agents × (3 model + 1 tool call), then synthesis, by the real platform, in CPU-ms.

    python -m benchmarks.job [--jobs N] [--rounds N] [--profile] [--skip-langgraph]

Durable (NORMAL and FULL), policy and budget on, a model without latency in this process, one job after the other.
Beside it, in the same run: the same calls by plain asyncio, and by LangGraph with its SQLite checkpointer in its own
environment. Ours also analyses and plans (one model call more).
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from multiagent.agents import steps as agent_steps
from multiagent.agents.asking import Asker
from multiagent.agents.ports import Limits, Ports
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.budget import Limit
from multiagent.core.messages import ToolCall
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.core.usage import Rates, Usage
from multiagent.engines.base import Engine
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.llm.base import (
    Chunk,
    Endpoint,
    ModelInfo,
    ModelRequest,
    PartDone,
    StreamEnd,
    TextDelta,
)
from multiagent.llm.gate import GateSettings, GateStorage, ModelGate
from multiagent.llm.gate_endpoints import Endpoints, Serving
from multiagent.orchestrator import steps as task_steps
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.service import Service, Submission
from multiagent.orchestrator.uploads import Uploads
from multiagent.orchestrator.workflows import TASK
from multiagent.policy.factory import open_policy
from multiagent.storage.factory import open_storage
from multiagent.tools.base import Tool, ToolContext
from multiagent.tools.builtin.calculator import calculator_tool
from multiagent.tools.registry import Registry
from multiagent.tools.runner import ToolRunner

AGENTS = 5
WARM_UP = 3
TENANT = "bench"
USER = Principal(TENANT, "user", permissions=("code_execution",))
SETTINGS = TaskSettings(limit=Limit(10_000_000, 10**15), tier="small", cache=False)
TEXT = "The finding of this agent rests on the numbers it computed. " * 4
QUERY = "Compare the five regions: compute each one's figure, then analyse the trend and write a report."
PLAN = json.dumps(
    {
        "reason": "five independent parts",
        "tasks": [
            {"id": f"t{one}", "title": f"Part {one}", "instruction": f"Compute part {one}.", "tools": ["calculator"]}
            for one in range(AGENTS)
        ],
    }
)
SYNCHRONOUS: tuple[Literal["NORMAL", "FULL"], ...] = ("NORMAL", "FULL")
LANGGRAPH = Path(".cache/langgraph/bin/python")


class InstantModel:
    """A vendor without latency: a plan; a tool call, an empty answer, a text; a synthesis."""

    def __init__(self) -> None:
        self.calls = 0

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """See ``llm.base.Provider``."""
        self.calls += 1
        answers = sum(message.role == "assistant" for message in request.messages)
        if request.purpose == "decompose":
            yield TextDelta(PLAN)
        elif request.purpose == "turn" and answers == 0:
            yield PartDone(ToolCall("c1", "calculator", f'{{"expression":"{self.calls} * 21"}}'))
        elif request.purpose != "turn" or answers == 2:
            yield TextDelta(f"{TEXT}{self.calls}")
        yield StreamEnd("tool_calls" if request.purpose == "turn" and answers == 0 else "stop", Usage(400, 80))

    async def close(self) -> None:
        """Nothing to give up."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The platform, open."""

    service: Service
    dispatcher: Dispatcher
    engine: Engine
    model: InstantModel

    async def job(self, query: str = QUERY, settings: TaskSettings = SETTINGS) -> str:
        """Submit one job and wait for its end; its id."""
        created = await self.service.submit(Submission(USER, query, settings=settings))
        await self.dispatcher.deliver()
        result = await self.engine.result(TENANT, created.id)
        assert result.status == "completed", result
        return created.id


@asynccontextmanager
async def open_bench(
    home: Path,
    synchronous: Literal["NORMAL", "FULL"],
    model: InstantModel | None = None,
    tools: Sequence[Tool] = (),
    context: int = 128_000,
) -> AsyncIterator[Bench]:
    """The platform's own parts, but for the model, which takes ``context`` tokens; ``tools`` beside the calculator."""
    clock, ids, model = SystemClock(), SystemIds(), model or InstantModel()
    async with AsyncExitStack() as stack:
        storage = await stack.enter_async_context(open_storage(home, clock=clock, ids=ids, synchronous=synchronous))
        policy = open_policy()
        info = ModelInfo(Endpoint("instant", "instant-1"), "small", 1.0, Rates(1000, 2000), context)
        gate = ModelGate(
            Endpoints([Serving(info, model)], clock),
            GateStorage(storage.writer, storage.reader, storage.kv),
            policy.decide,
            clock,
            ids,
            GateSettings("bench"),
        )
        stack.push_async_callback(gate.close)
        runner = ToolRunner(Registry([calculator_tool(), *tools]), policy.decide, storage.writer, clock)
        asker = Asker(Ports(storage.writer, storage.reader, storage.objects, gate, runner, clock), Limits())
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        steps = (*agent_steps.steps(asker), *task_steps.steps(asker))
        engine = await stack.enter_async_context(open_engine(home, parts, (TASK,), steps))
        dispatcher = Dispatcher(storage.writer, storage.reader, engine, clock)
        service = Service(storage.writer, Uploads(storage.objects), clock, ids, dispatcher.wake)
        yield Bench(service, dispatcher, engine, model)


async def ours(jobs: int, synchronous: Literal["NORMAL", "FULL"], profile: cProfile.Profile | None = None) -> float:
    """CPU-milliseconds a job."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_bench(Path(folder), synchronous) as bench:
            for _ in range(WARM_UP):
                await bench.job()
            asked = bench.model.calls
            if profile is not None:
                profile.enable()
            begun = time.process_time()
            for _ in range(jobs):
                await bench.job()
            spent = (time.process_time() - begun) * 1000 / jobs
            if profile is not None:
                profile.disable()
            assert bench.model.calls - asked == jobs * (AGENTS * 3 + 2)
            return spent


async def plain(jobs: int) -> float:
    """The same calls without any platform."""
    model, tool = InstantModel(), calculator_tool()
    info = ModelInfo(Endpoint("instant", "instant-1"), "small", 1.0, Rates())

    async def ask(purpose: Literal["turn", "synthesize"]) -> list[Chunk]:
        return [chunk async for chunk in model.stream(info, ModelRequest((), purpose=purpose))]

    async def agent() -> list[Chunk]:
        await ask("turn")
        await tool.execute(b'{"expression":"2 * 21"}', ToolContext(USER, "t", "s", (), 2**60))
        await ask("turn")
        return await ask("turn")

    begun = time.process_time()
    for _ in range(jobs):
        await asyncio.gather(*(agent() for _ in range(AGENTS)))
        await ask("synthesize")
    return (time.process_time() - begun) * 1000 / jobs


def langgraph(jobs: int, synchronous: str) -> float | None:
    """The peer's CPU-milliseconds a job; None where its environment is not there (``make bench`` makes it)."""
    if not LANGGRAPH.exists():
        return None
    script = Path(__file__).with_name("langgraph_job.py")
    command = [str(LANGGRAPH), str(script), "--jobs", str(jobs), "--synchronous", synchronous]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu_ms"])


def show(what: str, values: list[float], aim: str = "") -> None:
    """Print one row: the least of all rounds (what else runs on the machine only adds), and all of them."""
    if not values:
        print(f"{what:<46} not there; `make bench` makes its environment")
        return
    every = " ".join(f"{value:.1f}" for value in values)
    print(f"{what:<46} {min(values):8.2f} CPU-ms a job  {aim:<9} (rounds: {every})")


def measure(jobs: int, rounds: int, *, peer: bool) -> dict[str, list[float]]:
    """Every number, taken in turns, so that all see the same machine."""
    found: dict[str, list[float]] = {"plain": []}
    for _ in range(rounds):
        found["plain"].append(asyncio.run(plain(jobs * 10)))
        for synchronous in SYNCHRONOUS:
            found.setdefault(f"ours {synchronous}", []).append(asyncio.run(ours(jobs, synchronous)))
            value = langgraph(jobs, synchronous) if peer else None
            found.setdefault(f"peer {synchronous}", []).extend([] if value is None else [value])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--skip-langgraph", action="store_true")
    given = parser.parse_args()
    found = measure(given.jobs, given.rounds, peer=not given.skip_langgraph)
    show("plain asyncio (nothing durable, no policy)", found["plain"])
    for synchronous, aim in zip(SYNCHRONOUS, ("aim ≤ 20", "aim ≤ 32"), strict=True):
        show(f"multiagent, {synchronous}", found[f"ours {synchronous}"], aim)
        show(f"LangGraph, SQLite checkpointer, {synchronous}", found[f"peer {synchronous}"])
    if given.profile:
        profile = cProfile.Profile()
        asyncio.run(ours(given.jobs, "NORMAL", profile))
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
