"""What one run of a workflow does, outcome by outcome."""

import asyncio
from typing import Any

import pytest

from multiagent.core.errors import Cancelled, NonDeterminism, StepFailed
from multiagent.core.events import EventKind
from multiagent.core.outcome import Outcome
from multiagent.core.settings import TaskSettings
from multiagent.core.step import StepDef
from multiagent.engines.base import Context
from multiagent.engines.context import begin
from multiagent.engines.kernel import encode
from tests.unit.engines.drive import START, Driver, Number, Said, workflow

STEP = StepDef("double", Number, Number, "agent")


async def two(ctx: Context, data: Number) -> Number:
    first = await ctx.step(STEP, data, "one")
    second = await ctx.step(STEP, first, "two")
    return Number(first.value + second.value)


def test_steps_run_one_after_another_and_their_results_are_returned() -> None:
    run = Driver(workflow(two), Number(3))
    assert run.pending() == ["one"]
    run.answer("one", 6)
    assert run.pending() == ["two"]
    run.answer("two", 12)
    assert run.value == Number(18)
    run.replayed()


def test_a_failed_step_raises_its_code_where_it_is_awaited() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        try:
            await ctx.step(STEP, data, "one")
        except StepFailed as error:
            return Number(1 if error.code == "TOOL_FAILED" else 2)
        return Number(3)

    assert Driver(workflow(run)).fail("one").value == Number(1)
    assert Driver(workflow(two)).fail("one", "NO_MODEL").failure.code == "NO_MODEL"


def test_a_step_key_used_twice_breaks_the_run() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        await ctx.step(STEP, data, "one")
        return await ctx.step(STEP, data, "one")

    assert Driver(workflow(run)).answer("one").failure.code == "WORKFLOW_BROKEN"


def test_an_awaitable_that_is_not_the_contexts_breaks_the_run() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        await asyncio.sleep(0)
        return data

    failed = Driver(workflow(run)).failure
    assert failed.code == "WORKFLOW_BROKEN"
    assert "not made by its context" in failed.message


async def test_an_awaitable_of_the_event_loop_breaks_the_run() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        await asyncio.get_running_loop().create_future()
        return data

    assert Driver(workflow(run)).failure.code == "WORKFLOW_BROKEN"


def test_an_awaitable_of_another_run_breaks_the_run() -> None:
    other: list[Any] = []

    async def give(ctx: Context, data: Number) -> Number:
        other.append(ctx)
        await ctx.sleep(1)
        return data

    async def take(ctx: Context, data: Number) -> Number:
        await other[0].sleep(1)
        return data

    Driver(workflow(give))
    assert Driver(workflow(take)).failure.code == "WORKFLOW_BROKEN"


def test_a_run_that_never_rests_is_broken() -> None:
    async def spin(ctx: Context) -> None:
        return None

    async def run(ctx: Context, data: Number) -> Number:
        while True:
            async with ctx.group() as group:
                group.spawn(spin(ctx))

    failed = Driver(workflow(run)).failure
    assert failed.code == "WORKFLOW_BROKEN"
    assert "10000" in failed.message


def test_an_error_of_the_workflow_itself_is_internal() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        raise KeyError("x")

    assert Driver(workflow(run)).failure.code == "INTERNAL"


def test_a_cancel_of_the_event_loops_kind_is_a_defect_like_any_other() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        raise asyncio.CancelledError

    assert Driver(workflow(run)).failure.code == "INTERNAL"


def test_a_timer_is_asked_for_and_waited_for() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        before = ctx.now()
        await ctx.sleep(2.5)
        return Number(ctx.now() - before)

    driver = Driver(workflow(run))
    assert driver.timers()[0].due == START + 2500
    assert driver.fire("timer/1").value == Number(2500)
    driver.replayed()


def test_time_is_that_of_the_outcome() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        assert ctx.now() == START
        await ctx.step(STEP, data, "one")
        assert ctx.now() == START + 1
        return data

    assert Driver(workflow(run)).answer("one").value == Number(0)


def test_timeout_returns_the_value_of_work_that_is_in_time_and_forgets_the_timer() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        return await ctx.timeout(5, ctx.step(STEP, data, "one"))

    driver = Driver(workflow(run)).answer("one", 7)
    assert driver.value == Number(7)
    assert "untimer timer/1" in driver.log
    driver.replayed()


def test_timeout_cancels_work_that_is_late() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        try:
            return await ctx.timeout(5, ctx.step(STEP, data, "slow"))
        except TimeoutError:
            return await ctx.step(STEP, data, "instead")

    driver = Driver(workflow(run)).fire("timer/1")
    assert driver.pending() == ["instead"]
    assert any(line.startswith("cancel slow~") for line in driver.log)
    assert driver.answer("instead", 9).value == Number(9)
    driver.replayed()


def test_timeout_passes_the_error_of_its_work_on() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        return await ctx.timeout(5, ctx.step(STEP, data, "one"))

    assert Driver(workflow(run)).fail("one").failure.code == "TOOL_FAILED"


async def hear(ctx: Context, data: Number) -> Number:
    await ctx.step(STEP, data, "one")
    return Number(int(await ctx.wait_signal("go")))


@pytest.mark.parametrize("early", [True, False])
def test_a_signal_is_kept_until_it_is_waited_for(early: bool) -> None:
    driver = Driver(workflow(hear))
    if early:
        driver.signal("other", b"1").signal("go", b"4").answer("one")
    else:
        driver.answer("one").signal("other", b"1").signal("go", b"4")
    assert driver.value == Number(4)
    driver.replayed()


def test_signals_of_one_name_come_in_order_and_once() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        first = int(await ctx.wait_signal("go"))
        return Number(first * 10 + int(await ctx.wait_signal("go")))

    assert Driver(workflow(run)).signal("go", b"1").signal("go", b"2").value == Number(12)


def test_a_signal_whose_first_waiter_is_cancelled_goes_to_the_next() -> None:
    async def wait(ctx: Context) -> bytes:
        return await ctx.wait_signal("go")

    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            first = group.spawn(wait(ctx))
            second = group.spawn(wait(ctx))
            await ctx.step(STEP, data, "one")
            first.cancel()
        return Number(int(second.result()))

    driver = Driver(workflow(run)).answer("one").signal("go", b"3")
    assert driver.value == Number(3)


def test_the_platforms_own_signal_names_cannot_be_waited_for() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        await ctx.wait_signal("__cancel")
        return data

    assert Driver(workflow(run)).failure.code == "WORKFLOW_BROKEN"


def test_pause_and_resume_are_reserved_and_disturb_nothing_yet() -> None:
    driver = Driver(workflow(two)).signal("__pause").signal("__resume").answer("one").answer("two", 2)
    assert driver.value == Number(2)


def test_emits_are_numbered_and_part_of_the_digest() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        ctx.emit(EventKind.TASK_STARTED, Said("a"))
        await ctx.step(STEP, data, "one")
        ctx.emit(EventKind.TASK_COMPLETED, Said("b"))
        return data

    async def other(ctx: Context, data: Number) -> Number:
        ctx.emit(EventKind.TASK_STARTED, Said("a"))
        await ctx.step(STEP, data, "one")
        ctx.emit(EventKind.TASK_COMPLETED, Said("c"))
        return data

    driver = Driver(workflow(run)).answer("one")
    assert [(emit.key, emit.kind) for emit in driver.emits] == [("w/1", "task.started"), ("w/2", "task.completed")]
    driver.replayed()
    with pytest.raises(NonDeterminism):
        driver.replayed(workflow(other))


def test_what_is_published_can_be_asked() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        ctx.publish("state", Said("waiting"))
        await ctx.step(STEP, data, "one")
        return data

    driver = Driver(workflow(run))
    assert driver.kernel.query("state") == b'{"text":"waiting"}'
    assert driver.kernel.query("nothing") is None


def test_chance_and_names_depend_on_the_seed_only() -> None:
    seen: list[tuple[float, str]] = []

    async def run(ctx: Context, data: Number) -> Number:
        seen.append((ctx.random(), ctx.uuid()))
        return data

    Driver(workflow(run))
    Driver(workflow(run))
    assert seen[0] == seen[1]
    begin(workflow(run), "another", encode(Number()), START)
    assert seen[2][0] != seen[0][0]
    assert seen[2][1] != seen[0][1]


def test_settings_are_read_at_each_use() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        before = ctx.settings.max_agents
        await ctx.step(STEP, data, "one")
        return Number(before * 100 + ctx.settings.max_agents)

    driver = Driver(workflow(run))
    driver._feed("settings", "", carried=encode(TaskSettings(max_agents=2)))
    assert driver.answer("one").value == Number(502)
    driver.replayed()


def test_a_patch_is_taken_by_new_runs_journaled_and_not_taken_by_old_ones() -> None:
    async def old(ctx: Context, data: Number) -> Number:
        await ctx.step(STEP, data, "one")
        return await ctx.step(STEP, data, "two")

    async def new(ctx: Context, data: Number) -> Number:
        await ctx.step(STEP, data, "one" if not ctx.patched("better") else "better")
        return await ctx.step(STEP, data, "two")

    before = Driver(workflow(old)).answer("one")
    assert [action.mark() for action in before.replayed(workflow(new)).kernel.pending()] == before.marks()
    after = Driver(workflow(new)).answer("better").answer("two", 5)
    assert after.journal[0].patches[0].taken
    assert after.value == Number(5)
    after.replayed()


def test_cancel_reaches_the_workflow_and_its_running_step() -> None:
    driver = Driver(workflow(two)).cancel()
    assert driver.failure.code == "CANCELLED"
    assert driver.failure.message == "stop"
    assert driver.pending() == []
    driver.replayed()


async def tidy(ctx: Context, data: Number) -> Number:
    try:
        await ctx.step(STEP, data, "work")
    finally:
        await ctx.step(STEP, data, "tidy")
    return data


def test_cleanup_steps_of_a_cancelled_run_are_done() -> None:
    driver = Driver(workflow(tidy)).cancel()
    assert driver.pending() == ["tidy"]
    assert driver.timers()[0].seconds == 10
    driver.answer("tidy")
    assert driver.failure.code == "CANCELLED"
    assert driver.timers() == []
    driver.replayed()


def test_cleanup_that_takes_over_ten_seconds_is_cut_off() -> None:
    driver = Driver(workflow(tidy)).cancel().fire("timer/1")
    assert driver.failure.code == "CANCELLED"
    assert driver.pending() == []
    driver.replayed()


def test_a_late_outcome_of_a_cancelled_step_is_ignored() -> None:
    driver = Driver(workflow(tidy))
    step_id = next(iter(driver.asked))
    driver.cancel().late(step_id).answer("tidy")
    assert driver.failure.code == "CANCELLED"
    driver.replayed()


def test_an_outcome_nobody_asked_for_is_drift() -> None:
    driver = Driver(workflow(two))
    with pytest.raises(NonDeterminism):
        driver.kernel.feed(Outcome(1, "result", "other~00000000", START), b"{}")


def test_a_recorded_result_that_no_longer_fits_is_drift() -> None:
    driver = Driver(workflow(two))
    with pytest.raises(NonDeterminism, match="no Number"):
        driver.kernel.feed(Outcome(1, "result", next(iter(driver.asked)), START), b'{"value":"text"}')


def test_a_dropped_run_yields_nothing_though_its_finally_blocks_run() -> None:
    ran: list[str] = []

    async def child(ctx: Context, data: Number) -> Number:
        try:
            return await ctx.step(STEP, data, "child")
        finally:
            ran.append("child")
            ctx.emit(EventKind.AGENT_FAILED, Said("gone"))
            await ctx.step(STEP, data, "never")

    async def run(ctx: Context, data: Number) -> Number:
        try:
            async with ctx.group() as group:
                group.spawn(child(ctx, data))
                group.spawn(ctx.timeout(3, ctx.step(STEP, data, "other")))
        finally:
            ran.append("root")
            await ctx.sleep(1)
        return data

    driver = Driver(workflow(run))
    driver.kernel.drop()
    assert ran == ["child", "root"]
    assert driver.kernel.take().actions == ()


def test_a_result_that_is_no_json_is_a_broken_workflow() -> None:
    async def run(ctx: Context, data: Number) -> Any:
        return object()

    assert Driver(workflow(run)).failure.code == "WORKFLOW_BROKEN"


def test_cancelled_passes_handlers_of_errors() -> None:
    assert not issubclass(Cancelled, Exception)
