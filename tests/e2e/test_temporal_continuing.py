"""Runs that outgrow one history of the server go on in a new one, and nobody who looks at them can tell."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from multiagent.engines.base import Workflow
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.launching import begin_of, launch
from multiagent.engines.temporal.records import FEED, Sent
from multiagent.storage.sql.ops import CreateTask
from multiagent.testing.bench import TENANT, Gate
from multiagent.testing.bench_temporal import TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import CHAIN, HEAR, SLEEP, TIDIES, Job

pytestmark = pytest.mark.requirement("T1.suite")


@pytest.fixture
async def bench(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[TemporalBench]:
    async with open_temporal_bench(tmp_path, register, temporal_server) as opened:
        yield opened


async def begin(bench: TemporalBench, workflow: Workflow[Any, Any], value: int, most_events: int) -> str:
    """Start a run that goes on in a new history after so many events."""
    task = f"long-{workflow.name}"
    data = msgspec.json.encode(Job(value))
    create = CreateTask(
        tenant=TENANT, id=task, workflow=workflow.name, input=data, query="", user="", principal=b"",
        time=bench.clock.now(),
    )  # fmt: skip
    await bench.storage.writer.commit(create)
    row = await bench.storage.reader.task(TENANT, task)
    assert row is not None
    link = Link(bench.options, bench.storage.objects)
    await launch(link, workflow.name, msgspec.structs.replace(begin_of(row, 0), most_events=most_events))
    return task


async def histories(bench: TemporalBench, task: str) -> int:
    """In how many histories a run went on: told by the ends of all but the last."""
    client = await Link(bench.options, bench.storage.objects).connected()
    count, handle = 1, client.get_workflow_handle(task, run_id=(await first_run(client, task)))
    while True:
        events = [event async for event in handle.fetch_history_events()]
        last = events[-1]
        if not last.HasField("workflow_execution_continued_as_new_event_attributes"):
            return count
        count += 1
        told = last.workflow_execution_continued_as_new_event_attributes
        handle = client.get_workflow_handle(task, run_id=told.new_execution_run_id)


async def first_run(client: Any, task: str) -> str:
    """The id of a task's first run on the server."""
    events = [event async for event in client.get_workflow_handle(task).fetch_history_events()]
    return str(events[0].workflow_execution_started_event_attributes.first_execution_run_id)


async def test_a_run_of_many_steps_has_one_journal_over_many_histories(bench: TemporalBench) -> None:
    task = await begin(bench, CHAIN, 60, most_events=50)
    assert await bench.value(task) == Job(60)
    assert await histories(bench, task) > 5
    assert len(set(bench.ran)) == len(bench.ran) == 60
    rows = await bench.engine.history(TENANT, task)
    assert [row.n for row in rows] == list(range(1, 62))
    assert (await bench.engine.replay(TENANT, task)).status == "completed"
    keys = [event.header.key for event in await bench.events(task)]
    assert len(set(keys)) == len(keys) == 121


async def test_signals_that_come_while_a_run_goes_over_are_all_taken_in_order(bench: TemporalBench) -> None:
    gate = bench.code["before"] = Gate()
    task = await begin(bench, HEAR, 150, most_events=100)
    await bench.until(lambda: gate.waiting == 1)
    handle = (await Link(bench.options, bench.storage.objects).connected()).get_workflow_handle(task)
    for number in range(150):
        await handle.signal(FEED, Sent(f"go~{number}", str(number).encode()))
        if number == 50:
            gate.open()
        if number % 10 == 0:  # said again: taken once, also where another history has it
            await handle.signal(FEED, Sent(f"go~{number // 2}", b"again"))
    assert await bench.value(task) == Job(150, " ".join(str(number) for number in range(150)))
    assert await histories(bench, task) > 1
    assert bench.runs_of("before") == 1
    assert (await bench.engine.replay(TENANT, task)).status == "completed"


async def test_a_timer_keeps_what_is_left_of_its_time_over_new_histories(bench: TemporalBench) -> None:
    task = await begin(bench, SLEEP, 2, most_events=40)
    for number in range(20):
        await bench.engine.signal(TENANT, task, "noise", b"", str(number))
    done = await bench.value(task)
    assert bench.lasted(done.value, 4)
    assert await histories(bench, task) > 1


async def test_a_cancelled_run_that_goes_over_still_tidies_up(bench: TemporalBench) -> None:
    gate = bench.code["work"] = Gate()
    task = await begin(bench, TIDIES, 0, most_events=40)
    await bench.until(lambda: gate.waiting == 1)
    for number in range(20):
        await bench.engine.signal(TENANT, task, "noise", b"", str(number))
    await bench.engine.cancel(TENANT, task, "enough")
    assert (await bench.result(task)).status == "cancelled"
    assert (gate.cancelled, bench.runs_of("tidy")) == (1, 1)
    assert await histories(bench, task) > 1
