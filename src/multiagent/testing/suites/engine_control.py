"""How every engine holds a run, and tells what stood in it at any point of its past."""

import asyncio

import msgspec
import pytest

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.events import EventKind
from multiagent.core.travel import AtRow, Moment
from multiagent.engines.base import StepInfo
from multiagent.testing.bench import TENANT, Bench, Gate
from multiagent.testing.workflows import CHAIN, EMITS, FAN, HEAR, LATE, SLEEP, TIDIES, Job


@pytest.mark.requirement("C3.pause")
class EnginePauses:
    """Pause and resume."""

    async def test_running_steps_end_and_no_step_begins_while_paused(self, bench: Bench) -> None:
        gate = bench.code["chain/0"] = Gate()
        task = await bench.start(CHAIN, 3)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, task, "lunch", "p1")
        gate.open()
        rows = await bench.rows_when(task, 2)
        assert [(row.kind, row.key.partition("~")[0]) for row in rows] == [("signal", "__pause"), ("result", "chain/0")]
        row = await bench.row_when(task, lambda row: row.status == "paused")
        assert bench.ran == [("chain/0", 1)]
        assert row.status == "paused"
        await bench.engine.resume(TENANT, task, "r1")
        assert await bench.value(task) == Job(3)
        kinds = [(event.header.kind, event.header.key) for event in await bench.events(task)]
        paused = kinds.index((EventKind.TASK_PAUSED, "engine/paused/p1"))
        resumed = kinds.index((EventKind.TASK_RESUMED, "engine/resumed/r1"))
        assert [kind for kind, _ in kinds[paused + 1 : resumed]] == [EventKind.STEP_COMPLETED]

    async def test_a_pause_lasts_over_a_restart_also_for_the_step_that_was_in_flight(self, bench: Bench) -> None:
        gate = bench.code["chain/1"] = Gate()
        task = await bench.start(CHAIN, 3)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        assert await bench.restart() == (task,)
        assert await bench.restart() == (task,)
        row = await bench.storage.reader.task(TENANT, task)
        assert row is not None
        assert row.status == "paused"
        assert bench.runs_of("chain/1") == 1
        gate.open()
        await bench.engine.resume(TENANT, task, "r1")
        assert await bench.value(task) == Job(3)
        assert bench.runs_of("chain/0") == 1

    async def test_timers_go_on_while_paused_and_what_follows_is_held(self, bench: Bench) -> None:
        wait = bench.seconds(10)
        task = await bench.start(SLEEP, wait)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.pass_time(10)
        await bench.rows_when(task, 2)
        assert bench.ran == []
        await bench.engine.resume(TENANT, task, "r1")
        ended = asyncio.create_task(bench.value(task))
        await bench.drive(ended, 1)
        assert ended.result().value >= 2000 * wait

    async def test_signals_are_taken_while_paused(self, bench: Bench) -> None:
        task = await bench.start(HEAR, 2)
        await bench.until(lambda: bench.runs_of("before") == 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.engine.signal(TENANT, task, "go", b"one", "1")
        await bench.engine.resume(TENANT, task, "r1")
        await bench.engine.signal(TENANT, task, "go", b"two", "2")
        assert await bench.value(task) == Job(2, "one two")

    async def test_cancel_works_while_paused_and_its_cleanup_runs(self, bench: Bench) -> None:
        gate = bench.code["work"] = Gate()
        task = await bench.start(TIDIES)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.engine.cancel(TENANT, task, "enough")
        done = await bench.result(task)
        assert (done.status, done.message) == ("cancelled", "enough")
        assert (gate.cancelled, bench.runs_of("tidy")) == (1, 1)

    async def test_cancel_of_held_steps_never_runs_them(self, bench: Bench) -> None:
        gate = bench.code["before"] = Gate()
        task = await bench.start(HEAR, 1)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.restart()
        await bench.engine.cancel(TENANT, task, "enough")
        assert (await bench.result(task)).status == "cancelled"
        assert bench.runs_of("before") == 1

    async def test_a_pause_and_a_resume_count_once_by_their_id(self, bench: Bench) -> None:
        gate = bench.code["chain/0"] = Gate()
        task = await bench.start(CHAIN, 2)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.engine.resume(TENANT, task, "r1")
        await bench.engine.pause(TENANT, task, "", "p1")
        gate.open()
        assert await bench.value(task) == Job(2)
        await bench.engine.pause(TENANT, task, "", "p1")
        assert [row.kind for row in await bench.engine.history(TENANT, task)].count("signal") == 2

    async def test_pausing_twice_is_said_once_and_one_resume_ends_it(self, bench: Bench) -> None:
        gate = bench.code["chain/0"] = Gate()
        task = await bench.start(CHAIN, 2)
        await bench.until(lambda: gate.waiting == 1)
        for number in range(3):
            await bench.engine.pause(TENANT, task, "", f"p{number}")
        await bench.engine.resume(TENANT, task, "r1")
        await bench.engine.resume(TENANT, task, "r2")
        gate.open()
        await bench.value(task)
        kinds = [event.header.kind for event in await bench.events(task)]
        assert (kinds.count(EventKind.TASK_PAUSED), kinds.count(EventKind.TASK_RESUMED)) == (1, 1)

    async def test_unknown_and_finished_tasks_are_not_paused(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        for call in (bench.engine.pause(TENANT, task, "", "p1"), bench.engine.resume(TENANT, task, "r1")):
            with pytest.raises(InvalidInput, match="ended"):
                await call
        with pytest.raises(NotFound):
            await bench.engine.pause(TENANT, "nothing", "", "p1")
        with pytest.raises(InvalidInput, match="id"):
            await bench.engine.pause(TENANT, task, "", "a~b")

    async def test_a_held_step_whose_time_ran_out_never_begins(self, bench: Bench) -> None:
        gate = bench.code["slow"] = Gate()
        task = await bench.start(LATE, bench.seconds(5))
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.restart()
        await bench.pass_time(5)
        await bench.rows_when(task, 2)
        await bench.engine.resume(TENANT, task, "r1")
        assert await bench.value(task) == Job(0)
        assert (bench.runs_of("slow"), bench.runs_of("instead")) == (1, 1)


@pytest.mark.requirement("C5.states")
class EngineStates:
    """State at a cut."""

    async def test_a_step_stands_for_just_after_its_own_outcome(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 3)
        await bench.value(task)
        at = await bench.engine.state(TENANT, task, "chain/1")
        assert at.fed is not None
        assert (at.fed.step, bytes(at.fed.input), bytes(at.fed.value)) == (
            "work", b'{"value":1,"text":""}', b'{"value":2,"text":""}',
        )  # fmt: skip
        assert [(one.key, bytes(one.input)) for one in at.state.pending] == [("chain/2", b'{"value":2,"text":""}')]
        assert not at.state.ended

    async def test_an_event_stands_for_the_outcomes_before_it_and_a_steps_end_for_its_own(self, bench: Bench) -> None:
        task = await bench.start(EMITS, 2)
        await bench.value(task)
        found: dict[str, int] = {}
        for event in await bench.events(task):
            found[event.header.key] = (await bench.engine.state(TENANT, task, event.header.seq)).cut
        assert found == {
            "w/1": 0, "w/2": 0, "emit/0/1/step.started/1": 0, "emit/0/1/step.completed/2": 1, "w/3": 1,
            "emit/1/1/step.started/1": 1, "emit/1/1/step.completed/2": 2, "w/4": 2,
        }  # fmt: skip
        assert await bench.engine.state(TENANT, task, 0) == await bench.engine.state(TENANT, task, AtRow(0))

    async def test_the_beginning_the_end_and_a_run_under_way_have_their_states(self, bench: Bench) -> None:
        gate = bench.code["fan/1"] = Gate()
        task = await bench.start(FAN, 3)
        await bench.until(lambda: gate.waiting == 1)
        rows = await bench.rows_when(task, 2)
        begin = await bench.engine.state(TENANT, task, AtRow(0))
        assert [one.key for one in begin.state.pending] == ["fan/0", "fan/1", "fan/2"]
        now = await bench.engine.state(TENANT, task, AtRow(len(rows)))
        assert [one.key for one in now.state.pending] == ["fan/1"]
        gate.open()
        await bench.value(task)
        assert (await bench.engine.state(TENANT, task, AtRow(5))).state.ended

    async def test_published_states_signals_timers_emits_and_pauses_are_told(self, bench: Bench) -> None:
        task = await bench.start(HEAR, 2)
        await bench.rows_when(task, 1)
        await bench.engine.pause(TENANT, task, "", "p1")
        await bench.engine.signal(TENANT, task, "go", b"one", "1")
        await bench.engine.resume(TENANT, task, "r1")
        moment = await bench.engine.state(TENANT, task, AtRow(3))
        assert moment.fed is not None
        assert moment.state.find("heard") == msgspec.Raw(b'{"text":"one"}')
        assert (moment.state.waits_for, moment.state.paused) == (("go",), True)
        assert bytes(moment.fed.value) == b'"one"'
        await bench.engine.signal(TENANT, task, "go", b"two", "2")
        await bench.value(task)
        sleeper = await bench.start(SLEEP, 10)
        begin = await bench.engine.state(TENANT, sleeper, 0)
        assert [(timer.key, timer.left_ms) for timer in begin.state.timers] == [("timer/1", 10_000)]

    async def test_points_that_are_not_there_are_refused_by_name(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        for point, said in ((99, "events 1 to"), (-1, "events 1 to"), ("chain/7", "chain/0"), (AtRow(9), "0 to 2")):
            with pytest.raises(InvalidInput, match=said):
                await bench.engine.state(TENANT, task, point)
        with pytest.raises(NotFound):
            await bench.engine.state(TENANT, "nothing", 0)

    async def test_looking_back_runs_nothing_and_changes_nothing(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 2)
        await bench.value(task)
        before = (await bench.events(task), await bench.engine.history(TENANT, task), list(bench.ran))
        for n in range(4):
            await bench.engine.state(TENANT, task, AtRow(n))
        assert (await bench.events(task), await bench.engine.history(TENANT, task), bench.ran) == before

    async def test_a_failed_steps_failure_is_shown(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise InvalidInput("no")

        bench.code["*"] = fail
        task = await bench.start(CHAIN, 1)
        await bench.result(task)
        moment: Moment = await bench.engine.state(TENANT, task, "chain/0")
        assert moment.fed is not None
        assert moment.fed.failure is not None
        assert moment.fed.failure.code == "INVALID_INPUT"

    async def test_looking_back_at_a_run_under_way_does_not_disturb_it(self, bench: Bench) -> None:
        gate = bench.code["chain/1"] = Gate()
        task = await bench.start(CHAIN, 3)
        await bench.until(lambda: gate.waiting == 1)
        await asyncio.gather(*(bench.engine.state(TENANT, task, AtRow(n % 2)) for n in range(6)))
        gate.open()
        assert await bench.value(task) == Job(3)
