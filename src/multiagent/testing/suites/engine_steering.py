"""How every engine keeps time and is steered: timers, signals, queries, cancel."""

import asyncio

import pytest

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.engines.base import StepInfo
from multiagent.testing.bench import TENANT, Bench, Gate
from multiagent.testing.workflows import CHAIN, HEAR, LATE, SLEEP, TIDIES, Job


class EngineTime:
    """Durable timers and timeouts."""

    async def test_timers_fire_when_their_time_has_come(self, bench: Bench) -> None:
        wait = bench.seconds(10)
        task = await bench.start(SLEEP, wait)
        await bench.pass_time(9)
        assert bench.ran == []
        await bench.pass_time(1)
        await bench.until(lambda: bench.runs_of("between") == 1)
        await bench.pass_time(10)
        assert bench.lasted((await bench.value(task)).value, 2 * wait)

    async def test_a_restarted_timer_waits_only_for_what_was_left(self, bench: Bench) -> None:
        wait = bench.seconds(10)
        task = await bench.start(SLEEP, wait)
        await bench.pass_time(6)
        await bench.restart()
        await bench.pass_time(4)
        await bench.until(lambda: bench.runs_of("between") == 1)
        await bench.restart()
        await bench.pass_time(30)
        assert (await bench.value(task)).value >= 2000 * wait

    async def test_work_that_is_late_is_cancelled_by_its_timeout(self, bench: Bench) -> None:
        gate = bench.code["slow"] = Gate()
        task = await bench.start(LATE, bench.seconds(5))
        await bench.until(lambda: gate.waiting == 1)
        await bench.pass_time(5)
        assert await bench.value(task) == Job(0)
        assert gate.cancelled == 1

    async def test_work_in_time_is_returned(self, bench: Bench) -> None:
        assert await bench.value(await bench.start(LATE, 5)) == Job(6)


class EngineSteering:
    """Signals, queries, cancel."""

    async def test_signals_come_in_order_also_before_they_are_waited_for(self, bench: Bench) -> None:
        gate = bench.code["before"] = Gate()
        task = await bench.start(HEAR, 3)
        for word in ("one", "two"):
            await bench.engine.signal(TENANT, task, "go", word.encode(), word)
        gate.open()
        await bench.engine.signal(TENANT, task, "go", b"three", "three")
        assert await bench.value(task) == Job(3, "one two three")

    async def test_a_signal_is_taken_once_by_its_id_also_after_a_restart(self, bench: Bench) -> None:
        task = await bench.start(HEAR, 2)
        await bench.engine.signal(TENANT, task, "go", b"one", "id-1")
        await bench.engine.signal(TENANT, task, "go", b"one", "id-1")
        await bench.restart()
        await bench.engine.signal(TENANT, task, "go", b"one", "id-1")
        await bench.engine.signal(TENANT, task, "go", b"two", "id-2")
        assert await bench.value(task) == Job(2, "one two")
        await bench.engine.signal(TENANT, task, "go", b"two", "id-2")

    async def test_signals_to_unknown_finished_and_reserved_are_refused(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        with pytest.raises(NotFound):
            await bench.engine.signal(TENANT, "nothing", "go", b"", "1")
        with pytest.raises(InvalidInput, match="ended"):
            await bench.engine.signal(TENANT, task, "go", b"", "1")
        with pytest.raises(InvalidInput):
            await bench.engine.signal(TENANT, task, "__pause", b"", "1")

    async def test_a_query_answers_what_was_published_also_at_the_end(self, bench: Bench) -> None:
        task = await bench.start(HEAR, 2)
        await bench.engine.signal(TENANT, task, "go", b"one", "1")
        await bench.until(lambda: bench.runs_of("before") == 1)
        with pytest.raises(NotFound):
            await bench.engine.query(TENANT, task, "nothing")
        await bench.engine.signal(TENANT, task, "go", b"two", "2")
        await bench.value(task)
        assert await bench.engine.query(TENANT, task, "heard") == b'{"text":"one"}'

    async def test_a_task_that_waits_for_a_signal_says_so(self, bench: Bench) -> None:
        task = await bench.start(HEAR, 1)
        await bench.until(lambda: bench.runs_of("before") == 1)
        row = await bench.row_when(task, lambda row: row.status == "waiting")
        assert row.waits_for == "go"
        await bench.engine.signal(TENANT, task, "go", b"x", "1")
        await bench.value(task)

    async def test_cancel_stops_the_running_step_and_cleanup_still_runs(self, bench: Bench) -> None:
        gate = bench.code["work"] = Gate()
        task = await bench.start(TIDIES)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.cancel(TENANT, task, "not needed")
        done = await bench.result(task)
        assert (done.status, done.code, done.message) == ("cancelled", "CANCELLED", "not needed")
        assert gate.cancelled == 1
        assert bench.runs_of("tidy") == 1
        rows = await bench.engine.history(TENANT, task)
        assert any(row.kind == "failed" and row.key.startswith("work~") for row in rows)
        await bench.engine.cancel(TENANT, task, "again")

    async def test_cleanup_over_ten_seconds_is_cut_off(self, bench: Bench) -> None:
        work, tidy = Gate(), Gate()
        bench.code |= {"work": work, "tidy": tidy}
        task = await bench.start(TIDIES)
        await bench.until(lambda: work.waiting == 1)
        await bench.engine.cancel(TENANT, task, "stop")
        await bench.until(lambda: tidy.waiting == 1)
        await bench.pass_time(10)
        assert (await bench.result(task)).status == "cancelled"
        assert tidy.cancelled == 1

    async def test_code_that_ignores_its_cancel_is_given_up_after_a_second(self, bench: Bench) -> None:
        release = asyncio.Event()
        held = asyncio.Event()

        async def stubborn(_info: StepInfo, job: Job) -> Job:
            held.set()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            return job

        bench.code["work"] = stubborn
        task = await bench.start(TIDIES)
        await held.wait()
        await bench.engine.cancel(TENANT, task, "stop")
        await bench.until(lambda: bench.runs_of("tidy") == 1)
        await bench.pass_time(1.0)
        assert (await bench.result(task)).status == "cancelled"
        release.set()
