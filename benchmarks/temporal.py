"""What the engine on Temporal costs: worker CPU a step and for the job, beside a hand-written workflow.

Run: ``python -m benchmarks.temporal [TASKS]``; it needs Temporal's CLI (``make servers``). Everything is in one
process, client and workers, on a real server and SQLite, so that the CPU time of this process is that of the workers.

The hand-written workflow asks for the very same activities, our step wrapper with its lease and its stored result, so
the ratio is the price of the pump: kernel, journal, facts that ride along. Beside it the same workflow with bare
activities, which keep nothing but Temporal's own history.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RawValue, RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.events import EventKind
from multiagent.core.step import StepDef
from multiagent.engines.base import Context, Engine, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_temporal, open_workers
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.engines.temporal.records import StepCall
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.ops import CreateTask
from multiagent.testing.servers.temporal import TemporalServer

ROUNDS = 4
STEPS = 8
ANSWER = 5_000
TENANT = "bench"
KEY = b"a key of 32 bytes, for a measure"[:32]


class Number(msgspec.Struct, frozen=True):
    """Input and output; ``text`` is as long as a reference to a conversation is."""

    value: int = 0
    text: str = "x" * 200


SAID = Number(1, "x" * 90)
"""What an agent says of itself: as long as its state is."""
ADD = StepDef("add", Number, Number, "agent")
BARE, PEER, PEER_BARE = "bare", "by-hand", "by-hand-bare"
LIMIT, BEAT = timedelta(seconds=60), timedelta(seconds=5)


async def add(_info: StepInfo, data: Number) -> Number:
    """The step's work: nothing, so that only the durability is measured."""
    return Number(data.value + 1)


async def say(_info: StepInfo, data: Number) -> Number:
    """A tool's answer."""
    return Number(data.value, "y" * ANSWER)


SAY = StepDef("say", Number, Number, "agent")


async def _chain(ctx: Context, data: Number) -> Number:
    last = Number()
    for place in range(data.value):
        last = await ctx.step(ADD, last, f"s/{place}")
    return last


async def _agent(ctx: Context, name: str) -> Number:
    """Three model calls with a tool call between the first two, and what an agent says of itself meanwhile."""
    last = Number()
    ctx.emit(EventKind.AGENT_STARTED, SAID)
    for step in ("think/1", "act/1/check", "act/1/run", "think/2", "think/3"):
        ctx.emit(EventKind.AGENT_STATE, SAID)
        last = await ctx.step(ADD, last, f"a/{name}/{step}")
    ctx.emit(EventKind.AGENT_COMPLETED, SAID)
    return last


async def _job(ctx: Context, _data: Number) -> Number:
    """The job of the design: five agents at once, a plan before and a synthesis after them."""
    for step in ("analyze", "decompose"):
        ctx.emit(EventKind.TASK_ANALYZED, SAID)
        await ctx.step(ADD, Number(), step)
    async with ctx.group() as group:
        handles = [group.spawn(_agent(ctx, f"t{number}")) for number in range(5)]
    ctx.emit(EventKind.SYNTHESIS_STARTED, SAID)
    total = Number(sum(handle.result().value for handle in handles))
    for step in ("synthesize", "finish"):
        total = await ctx.step(ADD, total, step)
    ctx.emit(EventKind.TASK_COMPLETED, SAID)
    return total


async def _talk(ctx: Context, data: Number) -> Number:
    """Tool calls that answer 5 KB each."""
    for place in range(data.value):
        ctx.emit(EventKind.AGENT_STATE, SAID)
        await ctx.step(SAY, Number(place), f"a/t1/act/{place}/run")
    return Number()


TALK = Workflow("talk", _talk, Number, Number)
CHAIN = Workflow("chain", _chain, Number, Number)
JOB = Workflow("job", _job, Number, Number)


class Asked(msgspec.Struct, frozen=True):
    """What the hand-written workflow is given."""

    task: str
    steps: int
    kept: bool
    queue: str


@workflow.defn(name="by-hand", sandboxed=False)
class ByHand:
    """The same steps, as one writes them with Temporal's own library. ``steps`` 0 is the job."""

    @workflow.run
    async def run(self, asked: Asked) -> Number:
        """Do them."""
        self._asked = asked
        last = Number()
        if asked.steps:
            for place in range(asked.steps):
                last = await self._step(f"s/{place}", last)
            return last
        for step in ("analyze", "decompose"):
            await self._step(step, Number())
        total = Number(sum([one.value for one in await asyncio.gather(*(self._agent(f"t{n}") for n in range(5)))]))
        for step in ("synthesize", "finish"):
            total = await self._step(step, total)
        return total

    async def _agent(self, name: str) -> Number:
        last = Number()
        for step in ("think/1", "act/1/check", "act/1/run", "think/2", "think/3"):
            last = await self._step(f"a/{name}/{step}", last)
        return last

    async def _step(self, key: str, data: Number) -> Number:
        asked = self._asked
        call = StepCall(TENANT, asked.task, key, msgspec.Raw(msgspec.json.encode(data)), key.rjust(64, "0"))
        found: RawValue = await workflow.execute_activity(
            ADD.name if asked.kept else BARE,
            call if asked.kept else data,
            result_type=RawValue,
            activity_id=key,
            task_queue=asked.queue if asked.kept else PEER_BARE,
            start_to_close_timeout=LIMIT,
            heartbeat_timeout=BEAT,
            retry_policy=RetryPolicy(maximum_attempts=0),
        )
        return msgspec.json.decode(found.payload.data, type=Number)


@activity.defn(name=BARE)
async def bare(data: Number) -> Number:
    """The step's work and nothing else."""
    return Number(data.value + 1)


@dataclass(frozen=True, slots=True)
class Stand:
    """Everything that is measured, up."""

    storage: Storage
    engine: Engine
    client: Client
    options: TemporalOptions

    async def ours(self, task: str, steps: int) -> None:
        """Run a task on the platform's engine."""
        name, data = ("chain", Number(steps)) if steps else ("job", Number())
        await self.engine.start(TENANT, task, name, msgspec.json.encode(data))
        result = await self.engine.result(TENANT, task)
        if result.status != "completed":
            raise RuntimeError(result.message)

    async def by_hand(self, task: str, steps: int, *, kept: bool) -> None:
        """Run a task by the hand-written workflow, its row kept where its steps are."""
        if kept:
            now = int(time.time() * 1000)
            row = CreateTask(
                tenant=TENANT, id=task, workflow="by-hand", input=b"", query="", user="", principal=b"", time=now
            )
            await self.storage.writer.commit(row)
        asked = Asked(task, steps, kept, self.options.queue("agent"))
        await self.client.execute_workflow("by-hand", asked, id=f"hand-{task}", task_queue=PEER)


async def measure(stand: Stand, which: str, label: str, tasks: int, steps: int) -> float:
    """CPU milliseconds of this process a task; ``tasks`` of them, ten at once."""
    turn = asyncio.Semaphore(10)

    async def one(number: int) -> None:
        task = f"{label}-{number}"
        async with turn:
            if which == "ours":
                await stand.ours(task, steps)
            else:
                await stand.by_hand(task, steps, kept=which == "kept")

    began = time.process_time()
    await asyncio.gather(*(one(number) for number in range(tasks)))
    return (time.process_time() - began) * 1000 / tasks


async def history_bytes(client: Client, task: str) -> int:
    """Bytes of a task's history on the server."""
    description = await client.get_workflow_handle(task).describe()
    return description.raw_description.workflow_execution_info.history_size_bytes


async def compare(stand: Stand, name: str, steps: int, tasks: int) -> None:
    """Run the three ways in turns, print the best round of each."""
    found: dict[str, list[float]] = {"ours": [], "kept": [], "bare": []}
    for number in range(ROUNDS + 1):
        for which, rounds in found.items():
            took = await measure(stand, which, f"{name}-{which}-{number}", tasks, steps)
            if number:  # the first round warms up
                rounds.append(took)
    ours, kept, plain = (min(found[which]) for which in ("ours", "kept", "bare"))
    median = statistics.median(a / b for a, b in zip(found["ours"], found["kept"], strict=True))
    many = steps or 29
    print(
        f"{name:6}: ours {ours:.2f} CPU-ms ({ours / many:.3f} a step); by hand, the same activities {kept:.2f}: "
        f"x {ours / kept:.2f} (median x {median:.2f}, aim <= 1.2); "
        f"by hand, nothing kept {plain:.2f}: x {ours / plain:.2f}"
    )
    mine, theirs = (f"{name}-ours-1-0", f"hand-{name}-kept-1-0")
    print(
        f"        history {await history_bytes(stand.client, mine)} bytes; by hand "
        f"{await history_bytes(stand.client, theirs)}"
    )


async def flatness(stand: Stand) -> None:
    """The bytes that each tool call adds to a task's history on the server."""
    sizes: dict[int, int] = {}
    for calls in (50, 100, 150, 200):
        task = f"talk-{calls}"
        await stand.engine.start(TENANT, task, TALK.name, msgspec.json.encode(Number(calls)))
        result = await stand.engine.result(TENANT, task)
        if result.status != "completed":
            raise RuntimeError(result.message)
        sizes[calls] = await history_bytes(stand.client, task)
    each = ", ".join(f"{(sizes[calls] - sizes[calls - 50]) / 50:.0f}" for calls in (100, 150, 200))
    print(
        f"history of 200 tool calls that answer {ANSWER} bytes: {sizes[200]} bytes on the server; a call adds {each} "
        "between 50, 100, 150 and 200 of them"
    )


async def main() -> None:
    """Print the figures."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    server = TemporalServer()
    try:
        async with AsyncExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            clock, ids = SystemClock(), SystemIds()
            storage = await stack.enter_async_context(open_storage(home, clock=clock, ids=ids, synchronous="NORMAL"))
            parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
            options = TemporalOptions(server.address, await server.namespace(), "bench", KEY)
            workers = await stack.enter_async_context(
                open_workers(
                    options, parts, [CHAIN, JOB, TALK], [Step(ADD, add), Step(SAY, say)], ("orchestrator", "agent")
                )
            )
            while not workers.ready():  # noqa: ASYNC110 — it tells nobody
                await asyncio.sleep(0.05)
            client = await Link(options, storage.objects).connected()
            engine = await stack.enter_async_context(open_temporal(options, parts, [CHAIN, JOB, TALK]))
            peer = Worker(
                client, task_queue=PEER, workflows=[ByHand], workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=BEAT,
            )  # fmt: skip
            bare_peer = Worker(client, task_queue=PEER_BARE, activities=[bare])
            await stack.enter_async_context(peer)
            await stack.enter_async_context(bare_peer)
            stand = Stand(storage, engine, client, options)
            await flatness(stand)
            await compare(stand, "chain", STEPS, tasks)
            await compare(stand, "job", 0, tasks)
    finally:
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
