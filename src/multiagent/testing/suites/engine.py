"""What every engine must do. An adapter's test classes inherit from these and provide the fixture ``bench``."""

import asyncio

import pytest

from multiagent.core.errors import (
    InvalidInput,
    NotFound,
    StorageUnavailable,
    ToolError,
    VendorUnavailable,
)
from multiagent.core.events import EventKind
from multiagent.engines.base import StepInfo
from multiagent.testing.bench import TENANT, Bench, Gate
from multiagent.testing.workflows import (
    BROKEN,
    CHAIN,
    CHANCE,
    CONTAINED,
    EMITS,
    FAN,
    LIMITS,
    STORM,
    Job,
)


class EngineRuns:
    """Starting, results, parallel steps, and what a restart keeps."""

    async def test_a_workflow_runs_its_steps_in_order_and_returns_its_result(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 3)
        assert await bench.value(task) == Job(3)
        assert bench.ran == [("chain/0", 1), ("chain/1", 1), ("chain/2", 1)]

    async def test_starting_a_task_again_changes_nothing(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 2)
        await bench.engine.start(TENANT, task, "chain", b'{"value":5}')
        assert await bench.value(task) == Job(2)
        await bench.engine.start(TENANT, task, "chain", b'{"value":5}')
        assert await bench.value(task) == Job(2)
        assert len(bench.ran) == 2

    async def test_an_unknown_workflow_and_a_wrong_input_are_refused(self, bench: Bench) -> None:
        with pytest.raises(InvalidInput, match="registered"):
            await bench.engine.start(TENANT, "x", "nothing", b"{}")
        with pytest.raises(InvalidInput):
            await bench.engine.start(TENANT, "y", "chain", b'{"value":"text"}')

    async def test_an_unknown_task_is_not_found(self, bench: Bench) -> None:
        for call in (bench.engine.result, bench.engine.history, bench.engine.replay):
            with pytest.raises(NotFound):
                await call(TENANT, "nothing")

    async def test_a_task_of_another_tenant_is_not_found(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        with pytest.raises(NotFound):
            await bench.engine.result("other", task)
        await bench.value(task)
        with pytest.raises(NotFound):
            await bench.engine.history("other", task)

    async def test_steps_of_a_group_run_at_once(self, bench: Bench) -> None:
        gate = bench.code["*"] = Gate()
        task = await bench.start(FAN, 5)
        await bench.until(lambda: gate.waiting == 5)
        gate.open()
        assert await bench.value(task) == Job(sum(range(5)) + 5 + 1)

    async def test_many_tasks_run_side_by_side(self, bench: Bench) -> None:
        tasks = [await bench.start(FAN, 3) for _ in range(10)]
        assert [await bench.value(task) for task in tasks] == [Job(7)] * 10

    async def test_committed_results_never_run_again_after_a_restart(self, bench: Bench) -> None:
        gate = bench.code["chain/2"] = Gate()
        task = await bench.start(CHAIN, 4)
        await bench.until(lambda: gate.waiting == 1)
        assert await bench.restart() == (task,)
        gate.open()
        assert await bench.value(task) == Job(4)
        assert [bench.runs_of(f"chain/{place}") for place in range(4)] == [1, 1, 2, 1]
        assert ("chain/2", 2) in bench.ran

    async def test_a_finished_task_keeps_its_result_over_a_restart(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        assert await bench.restart() == ()
        assert await bench.value(task) == Job(1)

    async def test_a_step_that_waits_for_its_turn_in_a_group_keeps_its_place_over_restarts(self, bench: Bench) -> None:
        gate = bench.code["fan/1"] = Gate()
        task = await bench.start(FAN, 3)
        for _ in range(4):
            await bench.until(lambda: gate.waiting == 1)
            await bench.restart()
        gate.open()
        assert await bench.value(task) == Job(7)
        assert bench.runs_of("fan/0") == bench.runs_of("fan/2") == 1

    async def test_a_result_over_256_kilobytes_survives_a_restart(self, bench: Bench) -> None:
        gate = Gate()

        async def long(_info: StepInfo, job: Job) -> Job:
            return Job(job.value + 1, "x" * 300_000)

        bench.code |= {"chain/0": long, "chain/1": gate}
        task = await bench.start(CHAIN, 2)
        await bench.until(lambda: gate.waiting == 1)
        await bench.restart()
        gate.open()
        assert await bench.value(task) == Job(2)
        assert bench.runs_of("chain/0") == 1

    async def test_who_stops_waiting_for_a_result_does_not_stop_the_run(self, bench: Bench) -> None:
        gate = bench.code["*"] = Gate()
        task = await bench.start(CHAIN, 1)
        waiter = asyncio.create_task(bench.engine.result(TENANT, task))
        await bench.until(lambda: gate.waiting == 1)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        gate.open()
        assert await bench.value(task) == Job(1)

    async def test_chance_names_time_settings_and_patches_are_the_same_after_a_restart(self, bench: Bench) -> None:
        gate = bench.code["*"] = Gate()
        task = await bench.start(CHANCE)
        await bench.until(lambda: gate.waiting == 1)
        key = bench.ran[0][0]
        await bench.restart()
        await bench.until(lambda: gate.waiting == 1)
        assert bench.ran[1][0] == key
        gate.open()
        assert (await bench.value(task)).text.endswith("5 True")


class EngineFailures:
    """How steps and workflows fail."""

    async def test_a_failed_step_fails_its_workflow_with_its_code(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise ToolError("the tool is broken", details={"tool": "x"})

        bench.code["chain/1"] = fail
        done = await bench.result(await bench.start(CHAIN, 3))
        assert (done.status, done.code, done.message) == ("failed", "TOOL_FAILED", "the tool is broken")
        assert bench.runs_of("chain/2") == 0

    async def test_a_vendors_error_is_not_tried_again_by_the_engine(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise VendorUnavailable("down")

        bench.code["*"] = fail
        done = await bench.result(await bench.start(CHAIN, 1))
        assert done.code == "VENDOR_UNAVAILABLE"
        assert bench.runs_of("chain/0") == 1

    async def test_the_platforms_own_passing_trouble_is_tried_again(self, bench: Bench) -> None:
        async def fail_twice(info: StepInfo, _job: Job) -> Job:
            if info.attempt < 3:
                raise StorageUnavailable("locked")
            return Job(7)

        bench.code["limited"] = fail_twice
        task = await bench.start(LIMITS)
        await bench.until(lambda: bench.runs_of("limited") == 1)
        await bench.pass_time(1.1)
        await bench.until(lambda: bench.runs_of("limited") == 2)
        await bench.pass_time(2.1)
        assert await bench.value(task) == Job(7)
        assert [attempt for _, attempt in bench.ran] == [1, 2, 3]

    async def test_trouble_that_does_not_pass_ends_at_the_steps_deadline(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise StorageUnavailable("locked")

        bench.code["limited"] = fail
        task = await bench.start(LIMITS)
        waiter = asyncio.create_task(bench.result(task))
        await bench.drive(waiter, 1.0)
        assert waiter.result().code == "STEP_DEADLINE"
        assert 2 <= bench.runs_of("limited") <= 8

    async def test_an_attempt_over_its_time_is_cancelled_and_fails(self, bench: Bench) -> None:
        gate = Gate()

        async def alive(info: StepInfo, job: Job) -> Job:
            info.heartbeat()
            return await gate(info, job)

        bench.code["limited"] = alive
        task = await bench.start(LIMITS)
        await bench.until(lambda: gate.waiting == 1)
        await bench.pass_time(2.5)
        done = await bench.result(task)
        assert done.code == "STEP_TIMEOUT"
        assert "heartbeat" in done.message
        assert gate.cancelled == 1

    async def test_an_unexpected_error_of_a_step_is_internal(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise ZeroDivisionError("oops")

        bench.code["*"] = fail
        done = await bench.result(await bench.start(CHAIN, 1))
        assert (done.status, done.code) == ("failed", "INTERNAL")
        assert "oops" in done.message

    async def test_code_that_ends_as_cancelled_by_itself_fails_its_step(self, bench: Bench) -> None:
        async def give_up(_info: StepInfo, _job: Job) -> Job:
            inner = asyncio.create_task(asyncio.Event().wait())
            asyncio.get_running_loop().call_soon(inner.cancel)
            await inner
            return Job(1)

        bench.code["*"] = give_up
        done = await bench.result(await bench.start(CHAIN, 1))
        assert (done.status, done.code) == ("failed", "INTERNAL")

    async def test_an_unexpected_error_of_a_workflow_is_internal(self, bench: Bench) -> None:
        done = await bench.result(await bench.start(BROKEN))
        assert (done.status, done.code) == ("failed", "INTERNAL")

    async def test_contained_failures_leave_the_others_running(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise ToolError("no")

        bench.code |= {"part/0": fail, "part/2": fail}
        assert await bench.value(await bench.start(CONTAINED, 4)) == Job(2, "TOOL_FAILED,TOOL_FAILED")


class EngineFacts:
    """Events, the journal, the task's row, replay."""

    async def test_emits_are_stored_in_order_before_the_steps_issued_after_them(self, bench: Bench) -> None:
        task = await bench.start(EMITS, 2)
        await bench.value(task)
        events = await bench.events(task)
        assert [event.header.seq for event in events] == list(range(1, len(events) + 1))
        keys = [event.header.key for event in events]
        for earlier, later in (
            ("w/1", "w/2"),
            ("w/2", "emit/0/1/step.started/1"),
            ("emit/0/1/step.started/1", "emit/0/1/step.completed/2"),
            ("emit/0/1/step.completed/2", "w/3"),
            ("w/3", "emit/1/1/step.started/1"),
            ("emit/1/1/step.completed/2", "w/4"),
        ):
            assert keys.index(earlier) < keys.index(later)
        assert [event.header.kind for event in events if event.header.key.startswith("w/")][-1] == "task.completed"

    async def test_a_restart_stores_no_event_twice(self, bench: Bench) -> None:
        gate = bench.code["emit/1"] = Gate()
        task = await bench.start(EMITS, 2)
        await bench.until(lambda: gate.waiting == 1)
        await bench.restart()
        gate.open()
        await bench.value(task)
        kinds = [event.header.kind for event in await bench.events(task)]
        assert kinds.count(EventKind.AGENT_STATE) == 2
        assert kinds.count(EventKind.TASK_STARTED) == 1
        assert kinds.count(EventKind.TASK_RECOVERED) == bench.recoveries

    async def test_a_steps_own_events_stand_between_its_first_and_its_last(self, bench: Bench) -> None:
        async def speak(info: StepInfo, job: Job) -> Job:
            await info.event(EventKind.CACHE_HIT, job)
            await info.event(EventKind.CACHE_HIT, job)
            return job

        bench.code["*"] = speak
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        keys = [event.header.key for event in await bench.events(task)]
        assert keys[:4] == [
            "chain/0/1/step.started/1",
            "chain/0/1/cache.hit/2",
            "chain/0/1/cache.hit/3",
            "chain/0/1/step.completed/4",
        ]

    async def test_every_task_has_a_last_event(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise ToolError("no")

        done = await bench.start(CHAIN, 1)
        await bench.value(done)
        bench.code["*"] = fail
        failed = await bench.start(CHAIN, 1)
        await bench.result(failed)
        assert (await bench.events(done))[-1].header.kind == EventKind.TASK_COMPLETED
        assert (await bench.events(failed))[-1].header.kind == EventKind.TASK_FAILED

    async def test_the_journal_has_every_outcome_and_ends_with_the_end(self, bench: Bench) -> None:
        task = await bench.start(FAN, 3)
        await bench.value(task)
        rows = await bench.engine.history(TENANT, task)
        assert [row.n for row in rows] == list(range(1, len(rows) + 1))
        assert [row.kind for row in rows] == ["result"] * 4 + ["end"]
        assert all(row.digest for row in (rows[0], rows[3], rows[-1]))
        assert (await bench.engine.replay(TENANT, task)).status == "completed"

    async def test_a_run_under_way_replays_too(self, bench: Bench) -> None:
        gate = bench.code["chain/1"] = Gate()
        task = await bench.start(CHAIN, 2)
        await bench.until(lambda: gate.waiting == 1)
        assert (await bench.engine.replay(TENANT, task)).status == "running"
        gate.open()
        await bench.value(task)

    async def test_the_tasks_row_says_how_it_ended(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        row = await bench.storage.reader.task(TENANT, task)
        assert row is not None
        assert (row.status, row.result) == ("completed", b'{"value":1,"text":""}')
        assert row.duration_ms is not None

    async def test_a_storm_of_everything_at_once_ends_and_replays(self, bench: Bench) -> None:
        task = await bench.start(STORM, 1)
        waiter = asyncio.create_task(bench.value(task))
        await bench.engine.signal(TENANT, task, "go", b"word", "1")
        await bench.drive(waiter, 0.01)
        assert waiter.result() == Job(17, "")
        assert (await bench.engine.replay(TENANT, task)).status == "completed"
