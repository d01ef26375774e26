"""What becomes of runs when their server, a worker, or somebody at the server's own door does something else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from multiagent.core.errors import ConfigInvalid, EngineError, EngineUnavailable, InvalidInput, ToolError
from multiagent.core.events import EventKind
from multiagent.engines.base import Context, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_temporal
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.ground import Ground
from multiagent.engines.temporal.launching import end_run
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.engines.temporal.quarantine import Drifted, failed_task
from multiagent.engines.temporal.reconcile import Reconciler
from multiagent.testing.bench import TENANT, Gate
from multiagent.testing.bench_temporal import KEY, TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import CHAIN, FAN, HEAR, WORK, WORKFLOWS, Job

SECRET = "a word that nobody at the server may read"


@pytest.fixture
async def bench(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[TemporalBench]:
    async with open_temporal_bench(tmp_path, register, temporal_server) as opened:
        yield opened


@pytest.fixture
def own_server(temporal_server: TemporalServer) -> Iterator[TemporalServer]:
    """A server that the test may stop."""
    server = TemporalServer()
    yield server
    server.close()


def ground(bench: TemporalBench) -> Ground:
    """What the engine stands on, for its parts."""
    storage = bench.storage
    return Ground(
        Link(bench.options, storage.objects), storage.writer, storage.reader, storage.objects, bench.clock, "test",
        {one.name: one for one in WORKFLOWS}, {},
    )  # fmt: skip


async def client(bench: TemporalBench) -> Client:
    """Somebody with access to the server, who has no key."""
    return await Client.connect(bench.options.address, namespace=bench.options.namespace)


def _deletion(namespace: str, task: str) -> DeleteWorkflowExecutionRequest:
    return DeleteWorkflowExecutionRequest(namespace=namespace, workflow_execution=WorkflowExecution(workflow_id=task))


async def _unknown(outside: Client, task: str) -> bool:
    try:
        await outside.get_workflow_handle(task).describe()
    except RPCError as error:
        return error.status is RPCStatusCode.NOT_FOUND
    return False


async def _failed(bench: TemporalBench, task: str) -> bool:
    return await failed_task(ground(bench).link, task) is not None


async def _asked(bench: TemporalBench, task: str) -> bool:
    return bool(await bench.served.pending(TENANT, task))


async def test_a_server_that_is_away_is_told_so_and_found_again(
    tmp_path: Path, register: Register, own_server: TemporalServer
) -> None:
    async with open_temporal_bench(tmp_path, register, own_server) as bench:
        gate = bench.code["chain/1"] = Gate()
        task = await bench.start(CHAIN, 3)
        await bench.until(lambda: gate.waiting == 1)
        own_server.kill()
        with pytest.raises(EngineUnavailable, match=r"is it running\? start it with") as caught:
            await bench.engine.start(TENANT, "late", "chain", b'{"value":1}')
        assert caught.value.retryable
        gate.open()
        rows = await bench.storage.reader.unfinished()
        assert {row.id: row.status for row in rows} == {task: "running", "late": "queued"}
        own_server.start()
        await bench.engine.start(TENANT, "late", "chain", b'{"value":1}')
        assert await bench.value("late") == Job(1)
        assert await bench.value(task) == Job(3)
        assert bench.runs_of("chain/1") == 1


async def test_an_engine_opens_without_a_server_and_says_what_to_start(tmp_path: Path, bench: TemporalBench) -> None:
    parts = EngineParts(bench.storage.writer, bench.storage.reader, bench.storage.objects, bench.clock, bench._ids)
    nowhere = TemporalOptions("127.0.0.1:1", "default", "test", KEY)
    async with open_temporal(nowhere, parts, WORKFLOWS) as engine:
        for call in (engine.start(TENANT, "task", "chain", b"{}"), engine.cancel(TENANT, "task", "")):
            with pytest.raises(EngineUnavailable, match="temporal server start-dev"):
                await call
        with pytest.raises(InvalidInput):
            await engine.start(TENANT, "other", "chain", b"[]")
    with pytest.raises(ConfigInvalid, match="32 bytes"):
        async with open_temporal(TemporalOptions("", "", "", b"short"), parts, WORKFLOWS):
            pass


async def test_a_namespace_that_is_not_there_and_a_wrong_key_are_told(
    bench: TemporalBench, caplog: pytest.LogCaptureFixture
) -> None:
    parts = EngineParts(bench.storage.writer, bench.storage.reader, bench.storage.objects, bench.clock, bench._ids)
    options = TemporalOptions(bench.options.address, "nothing", "test", KEY)
    async with open_temporal(options, parts, WORKFLOWS) as engine:
        with pytest.raises(EngineError, match="temporal operator namespace create"):
            await engine.start(TENANT, "task", "chain", b"{}")
    other = TemporalOptions(bench.options.address, bench.options.namespace, "test", b"o" * 32)
    async with open_temporal(other, parts, WORKFLOWS) as engine:
        await engine.start(TENANT, "task", "chain", b"{}")
        await bench.until(lambda: "which this process lacks" in caplog.text)


async def test_nothing_that_a_run_carries_can_be_read_on_the_server_or_in_logs(
    tmp_path: Path, register: Register, own_server: TemporalServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_info: StepInfo, _job: Job) -> Job:
        raise ToolError(SECRET, details={"what": SECRET})

    caplog.set_level(logging.DEBUG)
    async with open_temporal_bench(tmp_path, register, own_server) as bench:
        bench.code["chain/0"] = fail
        failed = await bench.start(CHAIN, 1, SECRET)
        assert (await bench.result(failed)).message == SECRET
        heard = await bench.start(HEAR, 1, SECRET)
        await bench.engine.signal(TENANT, heard, "go", SECRET.encode(), "1")
        await bench.value(heard)
        own_server.stop()
    files = [path for path in own_server.folder.rglob("*") if path.is_file()]
    assert any(b"chain/0" in path.read_bytes() for path in files)
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    lines = [record for record in caplog.records if record.name.startswith("temporalio")]
    assert lines
    assert not any(SECRET in logging.Formatter().format(record) for record in lines)


async def test_a_step_recorded_by_the_server_alone_drifts_by_its_name_and_others_go_on(bench: TemporalBench) -> None:
    """The journal is empty still, so that only the worker's library can tell."""

    async def other(ctx: Context, job: Job) -> Job:
        return await ctx.step(WORK, job, "other")

    gate = bench.code["*"] = Gate()
    drifts, goes_on = await bench.start(CHAIN, 1), await bench.start(FAN, 1)
    await bench.until(lambda: gate.waiting == 2)
    bench.engine.exclude(drifts, "its code was changed under it")
    others = [workflow for workflow in WORKFLOWS if workflow is not CHAIN]
    await bench.restart([*others, Workflow("chain", other, Job, Job)])
    gate.open()
    row = await bench.row_when(drifts, lambda row: row.status == "quarantined")
    assert row.error is not None
    assert str(row.error.details["step"]).startswith("chain/0~")
    assert str(row.error.details["found"]).startswith("other~")
    assert (await bench.events(drifts))[-1].header.kind is EventKind.TASK_QUARANTINED
    assert await bench.value(goes_on) == Job(2)
    assert bench.runs_of("other") == 0


async def test_drift_that_nobody_lived_to_tell_of_is_found_on_the_server(
    bench: TemporalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other(ctx: Context, job: Job) -> Job:
        return await ctx.step(WORK, job, "other")

    gate = bench.code["*"] = Gate()
    drifts, goes_on = await bench.start(CHAIN, 1), await bench.start(FAN, 1)
    await bench.until(lambda: gate.waiting == 2)
    bench.engine.exclude(drifts, "its code was changed under it")
    monkeypatch.setattr(Drifted, "_tell", lambda *_: None)
    others = [workflow for workflow in WORKFLOWS if workflow is not CHAIN]
    await bench.restart([*others, Workflow("chain", other, Job, Job)])
    gate.open()
    await bench.value(goes_on)
    await bench.until_async(lambda: _failed(bench, drifts))
    assert await Drifted(ground(bench)).scan(quiet_ms=0) == (drifts,)
    row = await bench.row_when(drifts, lambda row: row.status == "quarantined")
    assert row.error is not None
    assert str(row.error.details["step"]).startswith("chain/0~")


async def test_a_drain_lets_running_steps_end_and_begins_none(bench: TemporalBench) -> None:
    bench.grace_s = 20
    await bench.restart()
    gate = bench.code["chain/0"] = Gate()
    task = await bench.start(CHAIN, 2)
    await bench.until(lambda: gate.waiting == 1)
    draining = asyncio.create_task(bench.workers.drain(20))
    await bench.until(lambda: not bench.workers.ready())
    gate.open()
    await draining
    assert bench.ran == [("chain/0", 1)]
    assert set(await bench.storage.reader.results(TENANT, task)) == {"chain/0"}
    await bench.restart()
    assert await bench.value(task) == Job(2)
    assert bench.ran == [("chain/0", 1), ("chain/1", 1)]


async def test_a_run_ended_at_the_server_ends_here_and_one_that_it_lost_goes_on(bench: TemporalBench) -> None:
    gate = bench.code["chain/1"] = bench.code["fan/0"] = Gate()
    ended, lost, ours = await bench.start(CHAIN, 3), await bench.start(CHAIN, 3), await bench.start(FAN, 1)
    await bench.until(lambda: gate.waiting == 3)
    outside = await client(bench)
    await outside.get_workflow_handle(ended).terminate(reason="a mistake")
    await end_run(ground(bench).link, ours, "a relaunch that was cut short")
    namespace = bench.options.namespace
    await outside.workflow_service.delete_workflow_execution(_deletion(namespace, lost))
    await bench.until_async(lambda: _unknown(outside, lost))
    with pytest.raises(EngineUnavailable, match="goes on from what is stored"):
        await bench.engine.pause(TENANT, lost, "", "p1")
    assert set(await Reconciler(ground(bench), quiet_ms=0).once()) == {ended, lost, ours}
    gate.open()
    done = await bench.result(ended)
    assert (done.status, done.code) == ("failed", "ENGINE_FAILED")
    assert "a mistake" in done.message
    assert EventKind.TASK_FAILED in [event.header.kind for event in await bench.events(ended)]
    assert await bench.value(lost) == Job(3)
    assert await bench.value(ours) == Job(2)
    assert bench.runs_of("chain/0") == 2
    assert await Reconciler(ground(bench), quiet_ms=0).once() == ()


async def test_signals_sent_to_a_run_that_was_lost_before_it_took_them_are_taken_by_the_next(
    bench: TemporalBench,
) -> None:
    task = await bench.start(HEAR, 2)
    await bench.engine.signal(TENANT, task, "go", b"one", "1")
    await bench.workers.drain(5)  # nobody is there to take the next one
    await bench.served.signal(TENANT, task, "go", b"two", "2")
    await end_run(ground(bench).link, task, "a relaunch that was cut short")
    await bench.restart()
    assert await Reconciler(ground(bench), quiet_ms=0).once() == (task,)
    assert await bench.value(task) == Job(2, "one two")


async def test_a_step_whose_queue_nobody_serves_is_told(bench: TemporalBench) -> None:
    gate = bench.code["chain/0"] = Gate()
    running = await bench.start(CHAIN, 1)
    await bench.until(lambda: gate.waiting == 1)
    (taken,) = await bench.served.pending(TENANT, running)
    assert (taken.key, taken.step, taken.queue, taken.running, taken.workers) == (
        "chain/0", "work", "test-agent", True, 1,
    )  # fmt: skip
    gate.open()
    await bench.value(running)
    assert await bench.served.pending(TENANT, running) == ()
    bench.services = ("orchestrator",)
    bench.options = TemporalOptions(bench.options.address, bench.options.namespace, "alone", KEY)
    await bench.restart()
    waiting = await bench.start(CHAIN, 1)
    await bench.until_async(lambda: _asked(bench, waiting))
    (nobody,) = await bench.served.pending(TENANT, waiting)
    assert (nobody.key, nobody.queue, nobody.running, nobody.workers) == ("chain/0", "alone-agent", False, 0)
    assert nobody.since > 0


async def test_an_input_of_several_megabytes_is_no_trouble(bench: TemporalBench) -> None:
    assert await bench.value(await bench.start(CHAIN, 1, "x" * 5_000_000)) == Job(1)
