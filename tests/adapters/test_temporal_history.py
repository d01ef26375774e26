"""What the server has of a run, beside what we have of it: replayed by Temporal's own means, and compared."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from temporalio.client import Client, WorkflowHistory

from multiagent.core.errors import InvalidInput, NonDeterminism
from multiagent.core.outcome import Outcome
from multiagent.engines.base import Context, Workflow
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.history import compare_fed, fed_by, histories
from multiagent.engines.temporal.launching import begin_of, end_run, launch
from multiagent.testing.bench import TENANT, Gate
from multiagent.testing.bench_temporal import TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import CHAIN, EMITS, FAN, WORK, Job

pytestmark = pytest.mark.requirement("T1.suite")


@pytest.fixture
async def bench(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[TemporalBench]:
    async with open_temporal_bench(tmp_path, register, temporal_server) as opened:
        yield opened


@pytest.fixture
def link(bench: TemporalBench) -> Link:
    return Link(bench.options, bench.storage.objects)


async def finished(bench: TemporalBench, link: Link) -> tuple[str, WorkflowHistory, tuple[Outcome, ...]]:
    """A finished run with its history and its journal."""
    task = await bench.start(FAN, 3)
    await bench.value(task)
    (history,) = [one async for one in histories(link, task)]
    return task, history, await bench.engine.history(TENANT, task)


async def test_the_replayer_feeds_what_the_journal_has_in_its_order(bench: TemporalBench, link: Link) -> None:
    task, history, journal = await finished(bench, link)
    fed = await fed_by(link.converter, history, {"fan": FAN})
    assert [fed[n] for n in sorted(fed)] == [msgspec.structs.replace(row, event_seq=0) for row in journal]
    compare_fed(task, fed, journal)


async def test_a_run_under_way_is_compared_too(bench: TemporalBench, link: Link) -> None:
    gate = bench.code["chain/2"] = Gate()
    task = await bench.start(CHAIN, 3)
    await bench.until(lambda: gate.waiting == 1)
    assert (await bench.engine.replay(TENANT, task)).status == "running"
    gate.open()
    await bench.value(task)
    assert (await bench.engine.replay(TENANT, task)).status == "completed"


async def test_every_history_of_a_run_that_went_on_in_new_ones_is_compared(bench: TemporalBench, link: Link) -> None:
    gate = bench.code["emit/0"] = Gate()
    task = await bench.start(EMITS, 12)
    await bench.until(lambda: gate.waiting == 1)
    await end_run(link, task, "goes on in short histories")
    row = await bench.storage.reader.task(TENANT, task)
    assert row is not None
    gate.open()
    await launch(link, "emits", msgspec.structs.replace(begin_of(row, 0), most_events=40), again=True)
    await bench.value(task)
    assert len([one async for one in histories(link, task)]) > 1
    assert (await bench.engine.replay(TENANT, task)).status == "completed"


async def test_a_journal_with_a_row_lost_added_or_changed_is_told_by_the_row(bench: TemporalBench, link: Link) -> None:
    task, history, journal = await finished(bench, link)
    fed = await fed_by(link.converter, history, {"fan": FAN})
    swapped = (msgspec.structs.replace(journal[1], n=1), msgspec.structs.replace(journal[0], n=2), *journal[2:])
    late = msgspec.structs.replace(journal[2], time=journal[2].time + 1)
    for wrong, n in ((swapped, 1), (journal[:1] + journal[2:], 2), ((*journal[:2], late, *journal[3:]), 3)):
        with pytest.raises(NonDeterminism) as caught:
            compare_fed(task, fed, wrong)
        assert caught.value.details["n"] == n


async def test_a_tampered_history_does_not_replay(bench: TemporalBench, link: Link) -> None:
    _, history, _ = await finished(bench, link)
    scheduled = [event for event in history.events if event.HasField("activity_task_scheduled_event_attributes")]
    scheduled[1].activity_task_scheduled_event_attributes.activity_id = "fan/7~00000000"
    with pytest.raises(NonDeterminism, match="fan/7~00000000"):
        await fed_by(link.converter, history, {"fan": FAN})


async def test_a_history_whose_payloads_were_touched_is_refused(bench: TemporalBench, link: Link) -> None:
    _, history, _ = await finished(bench, link)
    (done, *_) = (event for event in history.events if event.HasField("activity_task_completed_event_attributes"))
    payload = done.activity_task_completed_event_attributes.result.payloads[0]
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
    with pytest.raises(InvalidInput, match="cannot be replayed"):
        await fed_by(link.converter, history, {"fan": FAN})


async def test_code_that_does_something_else_is_told_by_both_steps(bench: TemporalBench, link: Link) -> None:
    async def other(ctx: Context, job: Job) -> Job:
        return await ctx.step(WORK, job, "other")

    _, history, _ = await finished(bench, link)
    await bench.close()  # its workers have the code as it was
    with pytest.raises(NonDeterminism, match=r"fan/\d~.* other~") as caught:
        await fed_by(link.converter, history, {"fan": Workflow("fan", other, Job, Job)})
    assert str(caught.value.details["step"]).startswith("fan/")


async def test_a_foreign_history_under_a_tasks_id_is_refused(bench: TemporalBench, link: Link) -> None:
    task, _, _ = await finished(bench, link)
    await (await link.connected()).get_workflow_handle(task).result()
    client = await Client.connect(bench.options.address, namespace=bench.options.namespace)
    await client.start_workflow("fan", {"plain": 1}, id=task, task_queue="nobody")
    with pytest.raises(InvalidInput, match="none of this platform's"):
        await bench.engine.replay(TENANT, task)
    await client.get_workflow_handle(task).terminate()
    other = await bench.start(CHAIN, 1)
    await bench.value(other)
    row = await bench.storage.reader.task(TENANT, other)
    assert row is not None
    stolen = msgspec.structs.replace(begin_of(row, 0), task=other)
    await (await link.connected()).start_workflow("chain", stolen, id=task, task_queue="nobody")
    with pytest.raises(InvalidInput, match=f"that of task {other}"):
        await bench.engine.replay(TENANT, task)
