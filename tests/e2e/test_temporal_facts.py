"""What a run on Temporal leaves behind where its facts are many, its steps hang, or its worker is gone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from multiagent.core.events import EventKind
from multiagent.engines.base import Context, StepInfo, Workflow
from multiagent.engines.temporal import asking
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.converter import read_payload
from multiagent.engines.temporal.records import StepCall
from multiagent.testing.bench import TENANT, Gate
from multiagent.testing.bench_temporal import TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import LIMITS, WORK, WORKFLOWS, Job, Said

pytestmark = pytest.mark.requirement("T1.suite")


async def _talks(ctx: Context, job: Job) -> Job:
    """Steps side by side, each after a long event, while one of them takes its time."""

    async def say(place: int) -> Job:
        for turn in range(3):
            ctx.emit(EventKind.AGENT_STATE, Said(f"{place}/{turn} " + "x" * job.value))
            await ctx.step(WORK, Job(turn), f"talk/{place}/{turn}")
        return job

    async with ctx.group() as group:
        for place in range(3):
            group.spawn(say(place))
    return job


LIMITED_S = 20
TALKS = Workflow("talks", _talks, Job, Job)


@pytest.fixture
async def bench(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[TemporalBench]:
    async with open_temporal_bench(tmp_path, register, temporal_server) as opened:
        yield opened


async def test_facts_too_many_to_be_carried_are_stored_before_the_steps_that_follow_them(bench: TemporalBench) -> None:
    await bench.restart((*WORKFLOWS, TALKS))
    task = await bench.start(TALKS, 30_000)
    await bench.value(task)
    keys = [event.header.key for event in await bench.events(task)]
    said = [key for key in keys if key.startswith("w/")]
    assert said == [f"w/{number}" for number in range(1, 10)]
    for place in range(3):
        for turn in range(3):
            assert keys.index(f"w/{place + 1}") < keys.index(f"talk/{place}/{turn}/1/step.started/1")
    assert max(await carried(bench, task)) < 200_000
    assert (await bench.engine.replay(TENANT, task)).status == "completed"


async def carried(bench: TemporalBench, task: str) -> list[int]:
    """How many bytes each step was given with its riders."""
    link = Link(bench.options, bench.storage.objects)
    client = await link.connected()
    sizes = []
    async for event in client.get_workflow_handle(task).fetch_history_events():
        asked = event.activity_task_scheduled_event_attributes
        if asked.activity_type.name == WORK.name:
            (payload,) = await link.codec.decode(asked.input.payloads)
            call = read_payload(payload, StepCall)
            assert call.task == task
            sizes.append(len(payload.data))
    return sizes


async def test_a_step_whose_worker_lives_and_does_not_end_it_fails_at_last(
    bench: TemporalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = bench.code["limited"] = Gate()
    monkeypatch.setattr(asking, "GRACE", timedelta(seconds=1 - LIMITED_S))
    task = await bench.start(LIMITS)
    done = await bench.result(task)
    assert (done.status, done.code) == ("failed", "STEP_DEADLINE")
    assert (await bench.engine.replay(TENANT, task)).status == "failed"
    failed = [event for event in await bench.events(task) if event.header.kind is EventKind.STEP_FAILED]
    assert failed
    gate.open()


async def test_a_cancel_reaches_a_step_within_a_second_of_it(bench: TemporalBench) -> None:
    gone: list[float] = []
    loop = asyncio.get_running_loop()

    async def wait(_info: StepInfo, job: Job) -> Job:
        try:
            await asyncio.Event().wait()
        finally:
            gone.append(loop.time())
        return job

    bench.code["limited"] = wait
    task = await bench.start(LIMITS)
    await bench.until(lambda: bench.runs_of("limited") == 1)
    began = loop.time()
    await bench.engine.cancel(TENANT, task, "enough")
    await bench.until(lambda: bool(gone))
    print(f"{gone[0] - began:.2f} s from the cancel to the step's end")
    assert (await bench.result(task)).status == "cancelled"
