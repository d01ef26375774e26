"""Workers killed between any two lines of the step wrapper, with nothing kept in memory between two workflow tasks:
what is stored of every run is what Temporal's own Replayer says, no more, no less, in the same order.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartActivityInput,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.events import Event, EventKind
from multiagent.core.outcome import Outcome
from multiagent.engines.base import Engine, Workflow
from multiagent.engines.factory import EngineParts, open_temporal
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.engines.temporal.pump import Pump
from multiagent.engines.temporal.records import Fed, Told
from multiagent.engines.temporal.table import freeze
from multiagent.engines.temporal.wrapper import POINTS
from multiagent.storage.factory import Storage, open_storage
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import CHAIN, EMITS, FAN, HEAR, WORKFLOWS, Job
from tests.chaos.temporal_worker import CHORUS, KEY

TENANT: Final = "tenant"
TASKS: Final = 200
GUARD_S: Final = 240
KINDS: Final[tuple[tuple[Workflow[Job, Job], Job], ...]] = (
    (EMITS, Job(2)),
    (FAN, Job(2)),
    (HEAR, Job(1)),
    (CHORUS, Job(3)),
)


class Worker:
    """A worker process that is killed at one place of the wrapper, and started again to be killed at the next."""

    def __init__(self, options: TemporalOptions, home: Path, url: str, poison: str = "") -> None:
        self._arguments = [options.address, options.namespace, str(home), url, poison]
        self._process: asyncio.subprocess.Process | None = None

    async def die_at(self, point: str, passes: int) -> None:
        """Work until the place is passed so many times."""
        process = await self._start(f"{point}:{passes}")
        _, errors = await process.communicate()
        assert process.returncode == -9, errors.decode()[-3000:]

    async def die(self) -> None:
        """Work until a step takes the process with it."""
        process = await self._start("")
        _, errors = await process.communicate()
        assert process.returncode == -9, errors.decode()[-3000:]

    async def work(self) -> None:
        """Work until ``kill``."""
        self._process = await self._start("")

    async def kill(self) -> None:
        """End at once."""
        if self._process is not None:
            assert self._process.returncode is None, (await self._process.communicate())[1].decode()[-3000:]
            self._process.kill()
            await self._process.communicate()

    async def _start(self, fault: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "MULTIAGENT_FAULT": fault, "PYTHONHASHSEED": "random"}
        return await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("temporal_worker.py")), *self._arguments,
            env=environment, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip


class Facts(Interceptor):
    """What the Replayer's runs told and fed, by task and number: gathered from the riders of what they ask for."""

    def __init__(self) -> None:
        self.of: dict[str, dict[int, Told | Fed]] = {}

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002 — the library's
        """Return what sits between a run and the server."""
        facts = self

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 — the library's
                riders = getattr(input.args[0], "riders", None)
                if riders is not None:
                    told = facts.of.setdefault(workflow.info().workflow_id, {})
                    for number, fact in enumerate(riders.facts, riders.first):
                        assert told.setdefault(number, fact) == fact
                return super().start_activity(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound


class Scene:
    """200 small tasks on a real server and a real database."""

    def __init__(self, engine: Engine, storage: Storage, link: Link) -> None:
        self.engine = engine
        self.storage = storage
        self.link = link
        self.tasks = {f"small-{place}": KINDS[place % len(KINDS)] for place in range(TASKS)}

    async def start(self) -> None:
        """Start all of them."""
        for task, (kind, job) in self.tasks.items():
            await self.engine.start(TENANT, task, kind.name, msgspec.json.encode(job))
            if kind is HEAR:
                await self.engine.signal(TENANT, task, "go", b"word", "1")

    async def end(self) -> None:
        """Wait for all of them, and see that each came to its end."""
        async with asyncio.timeout(GUARD_S):
            for task in self.tasks:
                done = await self.engine.result(TENANT, task)
                assert done.status == "completed", (task, done)

    async def replayed(self) -> dict[str, list[Told | Fed]]:
        """Run Temporal's own Replayer over every history; return what each run told and fed, in order."""
        facts = Facts()
        replayer = Replayer(
            workflows=[Pump], workflow_runner=UnsandboxedWorkflowRunner(), interceptors=[facts],
            data_converter=self.link.converter,
        )  # fmt: skip

        async def histories() -> AsyncIterator[WorkflowHistory]:
            client = await self.link.connected()
            for task in self.tasks:
                yield await client.get_workflow_handle(task).fetch_history()

        with freeze((*WORKFLOWS, CHORUS)):
            results = await replayer.replay_workflows(histories())
        assert not results.replay_failures
        return {task: [told[number] for number in sorted(told)] for task, told in facts.of.items()}

    async def compare(self, task: str, facts: list[Told | Fed]) -> None:
        """Compare what is stored of a run with what it told and fed."""
        rows = await self.storage.reader.journal(TENANT, task)
        fed = [fact.outcome for fact in facts if isinstance(fact, Fed)]
        assert [plain(row) for row in rows] == [plain(row) for row in fed], task
        events = await self.storage.reader.events(TENANT, task)
        assert [event.header.seq for event in events] == list(range(1, len(events) + 1))
        told = [fact.event for fact in facts if isinstance(fact, Told)]
        stored = [event for event in events if event.header.key.startswith("w/")]
        assert [(one.header.key, one.header.kind, one.payload, one.header.time) for one in stored] == [
            (one.key, one.kind, one.payload, one.time) for one in told
        ], task
        check_steps(events)


def plain(row: Outcome) -> Outcome:
    """Return a row without the place among the events, which only storage knows."""
    return msgspec.structs.replace(row, event_seq=0)


def check_steps(events: tuple[Event, ...]) -> None:
    """Each step has one committed result, and no attempt of it begins afterwards."""
    done: set[str] = set()
    for event in events:
        key = event.header.key.rsplit("/", 3)[0]
        if event.header.kind is EventKind.STEP_STARTED:
            assert key not in done, f"{key} ran again after its result was committed"
        elif event.header.kind is EventKind.STEP_COMPLETED:
            assert key not in done, f"{key} was committed twice"
            done.add(key)


@asynccontextmanager
async def scene(options: TemporalOptions, home: Path, url: str) -> AsyncIterator[Scene]:
    """Open what a client needs."""
    clock, ids = SystemClock(), SystemIds()
    async with open_storage(home, clock=clock, ids=ids, url=url) as storage:
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        async with open_temporal(options, parts, (*WORKFLOWS, CHORUS)) as engine:
            yield Scene(engine, storage, Link(options, storage.objects))


@pytest.mark.requirement("T8")
async def test_kills_between_any_two_lines_of_the_wrapper_leave_what_the_replayer_says(
    tmp_path: Path, temporal_server: TemporalServer, postgres: str, register: Register
) -> None:
    options = TemporalOptions(temporal_server.address, await temporal_server.namespace(), "test", KEY)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with scene(options, tmp_path, postgres) as opened:
        await opened.start()
        workers = [Worker(options, tmp_path, postgres) for _ in range(2)]
        points = list(POINTS)
        chance.shuffle(points)
        for pair in zip(points[::2], points[1::2], strict=True):
            deaths = zip(workers, pair, strict=True)
            async with asyncio.timeout(GUARD_S):
                await asyncio.gather(*(one.die_at(point, chance.randint(2, 12)) for one, point in deaths))
        await asyncio.gather(*(one.work() for one in workers))
        await opened.end()
        await asyncio.gather(*(one.kill() for one in workers))
        facts = await opened.replayed()
        assert set(facts) == set(opened.tasks)
        for task, told in facts.items():
            await opened.compare(task, told)
        for task, (kind, _) in opened.tasks.items():
            await register.record("wrapper", task, opened.storage.reader, opened.storage.objects, kind, TENANT)


@pytest.mark.requirement("T1.suite")
async def test_a_step_that_ends_its_process_three_times_is_not_run_again_and_others_go_on(
    tmp_path: Path, temporal_server: TemporalServer, postgres: str, register: Register
) -> None:
    options = TemporalOptions(temporal_server.address, await temporal_server.namespace(), "test", KEY)
    async with scene(options, tmp_path, postgres) as opened:
        await opened.engine.start(TENANT, "poisoned", CHAIN.name, msgspec.json.encode(Job(3)))
        await opened.engine.start(TENANT, "healthy", FAN.name, msgspec.json.encode(Job(3)))
        worker = Worker(options, tmp_path, postgres, poison="chain/1")
        async with asyncio.timeout(GUARD_S):
            for _ in range(3):
                await worker.die()
            await worker.work()
            done = await opened.engine.result(TENANT, "poisoned")
            healthy = await opened.engine.result(TENANT, "healthy")
        await worker.kill()
        assert (done.status, done.code, healthy.status) == ("failed", "STEP_POISONED", "completed")
        events = await opened.storage.reader.events(TENANT, "poisoned")
        begun = [event for event in events if event.header.kind is EventKind.STEP_STARTED]
        assert [msgspec.json.decode(event.payload)["alone"] for event in begun] == [False, False, False, True]
        for task, kind in (("poisoned", CHAIN), ("healthy", FAN)):
            await register.record("poison", task, opened.storage.reader, opened.storage.objects, kind, TENANT)
