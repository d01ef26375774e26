"""What the embedded engine does with its home: drift, owners, storage that fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from multiagent.core.errors import ConfigInvalid, EngineOwned, EngineUnavailable, NotFound, StorageFull
from multiagent.core.events import EventHeader, EventKind
from multiagent.core.travel import Changes
from multiagent.engines.base import Context, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_engine
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.keeping import PruneTask
from multiagent.storage.sql.ops import Op
from multiagent.testing.bench import TENANT, Bench, Gate, open_bench
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.replayed import Register
from multiagent.testing.workflows import CHAIN, FAN, WORK, WORKFLOWS, Job


@pytest.fixture
async def bench(tmp_path: Path, register: Register) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, register) as opened:
        yield opened


async def _changed(ctx: Context, job: Job) -> Job:
    for place in range(job.value):
        await ctx.step(WORK, Job(place), f"changed/{place}")
    return job


async def test_a_run_whose_code_changed_is_quarantined_and_the_others_go_on(bench: Bench) -> None:
    gate = bench.code["*"] = Gate()
    bench.code["chain/0"] = lambda info, job: asyncio.sleep(0, Job(1))
    drifts, goes_on = await bench.start(CHAIN, 3), await bench.start(FAN, 2)
    await bench.until(lambda: gate.waiting == 3)
    others = [workflow for workflow in WORKFLOWS if workflow is not CHAIN]
    bench.engine.exclude(drifts, "its code was changed under it")
    assert await bench.restart((*others, Workflow("chain", _changed, Job, Job))) == (goes_on,)
    gate.open()
    assert await bench.value(goes_on) == Job(4)
    done = await bench.result(drifts)
    assert (done.status, done.code) == ("quarantined", "NON_DETERMINISM")
    row = await bench.storage.reader.task(TENANT, drifts)
    assert row is not None
    assert row.status == "quarantined"
    assert (await bench.events(drifts))[-1].header.kind is EventKind.TASK_QUARANTINED
    assert bench.runs_of("changed/0") == 0


async def test_a_run_whose_step_input_changed_is_quarantined_before_the_step_runs(bench: Bench) -> None:
    """The journal is still empty, so only the lease can tell."""

    async def other_input(ctx: Context, job: Job) -> Job:
        return await ctx.step(WORK, Job(99), "chain/0")

    gate = bench.code["*"] = Gate()
    task = await bench.start(CHAIN, 1)
    await bench.until(lambda: gate.waiting == 1)
    bench.engine.exclude(task, "its code was changed under it")
    others = [workflow for workflow in WORKFLOWS if workflow is not CHAIN]
    assert await bench.restart((*others, Workflow("chain", other_input, Job, Job))) == ()
    assert (await bench.result(task)).status == "quarantined"
    assert bench.runs_of("chain/0") == 1


async def test_a_run_whose_workflow_is_not_registered_is_left_as_it_is(bench: Bench) -> None:
    gate = bench.code["*"] = Gate()
    task = await bench.start(CHAIN, 1)
    await bench.until(lambda: gate.waiting == 1)
    assert await bench.restart([FAN]) == ()
    with pytest.raises(EngineUnavailable, match="recover"):
        await bench.result(task)
    assert await bench.restart() == (task,)
    gate.open()
    assert await bench.value(task) == Job(1)


async def test_a_run_whose_stored_result_is_gone_stays_and_the_others_go_on(bench: Bench, tmp_path: Path) -> None:
    gate = Gate()

    async def long(info: StepInfo, job: Job) -> Job:
        return Job(job.value + 1, "x" * 300_000)

    bench.code |= {"chain/0": long, "chain/1": gate, "*": gate}
    broken, whole = await bench.start(CHAIN, 2), await bench.start(FAN, 1)
    await bench.until(lambda: gate.waiting == 2)
    bench.engine.exclude(broken, "its stored result was removed")
    for path in (tmp_path / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    assert await bench.restart() == (whole,)
    gate.open()
    assert await bench.value(whole) == Job(2)
    row = await bench.storage.reader.task(TENANT, broken)
    assert row is not None
    assert row.status == "running"


async def test_a_second_engine_on_a_home_is_refused(bench: Bench, tmp_path: Path) -> None:
    storage = bench.storage
    parts = EngineParts(storage.writer, storage.reader, storage.objects, bench.clock, CountedIds())
    with pytest.raises(EngineOwned):
        async with open_engine(tmp_path, parts, [], []):
            pass


async def test_two_steps_of_one_name_are_refused(bench: Bench, tmp_path: Path) -> None:
    async def code(info: StepInfo, job: Job) -> Job:
        return job

    storage = bench.storage
    parts = EngineParts(storage.writer, storage.reader, storage.objects, bench.clock, CountedIds())
    with pytest.raises(ConfigInvalid, match="one name"):
        async with open_engine(tmp_path / "other", parts, [], [Step(WORK, code), Step(WORK, code)]):
            pass


class FullDisk:
    """A writer whose disk is full for some commits."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.full = 0
        self.refused = 0

    async def commit(self, *ops: Op) -> tuple[object, ...]:
        if self.full > 0:
            self.full -= 1
            self.refused += 1
            raise StorageFull("the disk is full; free some space")
        return await self._writer.commit(*ops)

    def queue(self, *ops: Op) -> None:
        self._writer.queue(*ops)

    def on_commit(self, listener: Callable[[Sequence[EventHeader]], None]) -> Callable[[], None]:
        return self._writer.on_commit(listener)

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self._writer.on_release(listener)


@pytest.mark.parametrize("commits", [3, 10_000])
async def test_a_full_disk_is_waited_for_or_the_task_is_put_aside_and_taken_up_again(
    tmp_path: Path, commits: int
) -> None:
    """Nothing that has begun is lost: once there is space, the run goes on from its journal."""
    clock, ids = ManualClock(), CountedIds()
    gate = Gate()
    ran: list[str] = []

    async def code(info: StepInfo, job: Job) -> Job:
        ran.append(info.key)
        return await gate(info, job)

    async def until_done(work: "asyncio.Task[object]") -> None:
        async with asyncio.timeout(20):
            while not work.done():
                await asyncio.sleep(0)
                clock.advance(1 if clock.sleepers else 0)

    async with open_storage(tmp_path, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        disk = FullDisk(storage.writer)
        parts = EngineParts(disk, storage.reader, storage.objects, clock, ids)
        async with open_engine(tmp_path, parts, WORKFLOWS, [Step(WORK, code)]) as engine:
            await engine.start(TENANT, "task", "chain", b'{"value":2}')
            disk.full = commits
            gate.open()
            result = asyncio.create_task(engine.result(TENANT, "task"))
            await until_done(result)
            if commits == 3:
                assert result.result().status == "completed"
            else:
                assert "disk is full" in str(result.exception())
        disk.full = 0
        async with open_engine(tmp_path, parts, WORKFLOWS, [Step(WORK, code)]) as engine:
            assert await engine.recover() == (() if commits == 3 else ("task",))
            async with asyncio.timeout(20):
                assert (await engine.result(TENANT, "task")).value == b'{"value":2,"text":""}'
    assert ran == (["chain/0", "chain/1"] if commits == 3 else ["chain/0", "chain/0", "chain/1"])


async def test_a_pruned_past_is_not_gone_back_to_and_a_fork_of_it_lives_on(bench: Bench) -> None:
    task = await bench.start(CHAIN, 2)
    await bench.value(task)
    await bench.engine.fork(TENANT, "fork", task, "chain/0", Changes())
    await bench.value("fork")
    bench.engine.exclude(task, "its history was pruned")
    assert await bench.storage.writer.commit(PruneTask(tenant=TENANT, id=task, time=1)) == (True,)
    with pytest.raises(NotFound, match="pruned"):
        await bench.engine.state(TENANT, task, 0)
    with pytest.raises(NotFound, match="pruned"):
        await bench.engine.fork(TENANT, "late", task, 0, Changes())
    assert (await bench.engine.replay(TENANT, "fork")).status == "completed"
    await bench.engine.fork(TENANT, "forks-fork", "fork", "chain/0", Changes())
    assert await bench.value("forks-fork") == Job(2)
