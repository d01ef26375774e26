"""Structured children: what a group does with their ends."""

from typing import Any

from multiagent.core.errors import Cancelled, StepFailed
from multiagent.core.events import EventKind
from multiagent.core.step import StepDef
from multiagent.engines.base import Context
from tests.unit.engines.drive import Driver, Number, Said, workflow

STEP = StepDef("double", Number, Number, "agent")


async def child(ctx: Context, key: str) -> int:
    return (await ctx.step(STEP, Number(), key)).value


async def noting(ctx: Context, key: str) -> int:
    """A child that says when it is cancelled."""
    try:
        return await child(ctx, key)
    except Cancelled:
        ctx.emit(EventKind.AGENT_FAILED, Said(key))
        raise


async def three(ctx: Context, data: Number) -> Number:
    async with ctx.group() as group:
        handles = [group.spawn(noting(ctx, key)) for key in ("a", "b", "c")]
    return Number(sum(handle.result() * 10**place for place, handle in enumerate(handles)))


def test_children_run_at_once_and_the_block_waits_for_all() -> None:
    driver = Driver(workflow(three))
    assert driver.pending() == ["a", "b", "c"]
    driver.answer("c", 3).answer("a", 1)
    assert driver.ending is None
    assert driver.answer("b", 2).value == Number(321)
    driver.replayed()


def test_a_failed_child_cancels_its_siblings_in_spawn_order_and_fails_the_group() -> None:
    driver = Driver(workflow(three)).fail("b")
    assert driver.failure.code == "TOOL_FAILED"
    assert [line for line in driver.log if line.startswith("emit")] == [
        'emit w/1 agent.failed {"text":"a"}',
        'emit w/2 agent.failed {"text":"c"}',
    ]
    driver.replayed()


def test_a_failed_child_interrupts_the_body_that_does_not_await_it() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(child(ctx, "a"))
            await ctx.step(STEP, data, "body")
            await ctx.step(STEP, data, "more")
        return data

    driver = Driver(workflow(run)).fail("a")
    assert driver.failure.code == "TOOL_FAILED"
    assert any(line.startswith("cancel body~") for line in driver.log)


def test_a_body_that_awaits_the_failed_child_gets_its_error_and_may_not_wait_again() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            handle = group.spawn(child(ctx, "a"))
            try:
                await handle
            except StepFailed:
                ctx.emit(EventKind.AGENT_FAILED, Said("seen"))
            await ctx.step(STEP, data, "more")
        return data

    driver = Driver(workflow(run)).fail("a")
    assert driver.failure.code == "TOOL_FAILED"
    assert len(driver.emits) == 1
    assert driver.pending() == []


def test_a_contained_child_keeps_its_platform_error_in_its_handle() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            bad = group.spawn(child(ctx, "a"), contain=True)
            good = group.spawn(child(ctx, "b"), contain=True)
        return Number(good.result() if isinstance(bad.error, StepFailed) else 0)

    assert Driver(workflow(run)).fail("a").answer("b", 5).value == Number(5)


def test_a_contained_child_that_breaks_otherwise_still_fails_the_group() -> None:
    async def bug(ctx: Context) -> int:
        await ctx.step(STEP, Number(), "x")
        raise KeyError("bug")

    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(bug(ctx), contain=True)
            group.spawn(child(ctx, "b"), contain=True)
        return data

    assert Driver(workflow(run)).answer("x").failure.code == "INTERNAL"


def test_wait_any_returns_the_one_that_finished_first() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            handles = [group.spawn(child(ctx, key)) for key in ("a", "b", "c")]
            await ctx.step(STEP, data, "gate")
            order = []
            while handles:
                first = await ctx.wait_any(handles)
                handles.remove(first)
                order.append(first.result())
        return Number(int("".join(map(str, order))))

    driver = Driver(workflow(run)).answer("c", 3).answer("a", 1).answer("gate").answer("b", 2)
    assert driver.value == Number(312)


def test_a_cancelled_child_does_not_fail_the_group() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            slow = group.spawn(child(ctx, "slow"))
            quick = group.spawn(child(ctx, "quick"))
            await quick
            slow.cancel()
        return Number(quick.result() + (100 if isinstance(slow.error, Cancelled) else 0))

    driver = Driver(workflow(run)).answer("quick", 1)
    assert driver.value == Number(101)


def test_a_child_cancelled_before_it_started_never_runs() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            never = group.spawn(ctx.timeout(5, ctx.step(STEP, data, "never")))
            never.cancel()
        return data

    driver = Driver(workflow(run))
    assert driver.value == Number(0)
    assert driver.log == ['complete {"value":0}']


def test_an_error_of_the_body_cancels_the_children_and_is_raised() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(noting(ctx, "a"))
            await ctx.step(STEP, data, "body")
        return data

    driver = Driver(workflow(run)).fail("body", "NO_MODEL")
    assert driver.failure.code == "NO_MODEL"
    assert len(driver.emits) == 1


def test_a_failure_inside_nested_groups_goes_up_as_itself() -> None:
    async def inner(ctx: Context) -> int:
        async with ctx.group() as group:
            group.spawn(child(ctx, "deep"))
            group.spawn(noting(ctx, "deeper"))
        return 0

    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(inner(ctx))
            group.spawn(noting(ctx, "other"))
        return data

    driver = Driver(workflow(run)).fail("deep", "NO_MODEL")
    assert driver.failure.code == "NO_MODEL"
    assert [emit.payload for emit in driver.emits] == [b'{"text":"deeper"}', b'{"text":"other"}']


def test_an_outer_failure_passes_through_a_body_that_waits_in_an_inner_group() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as outer:
            outer.spawn(child(ctx, "outer"))
            async with ctx.group() as group:
                group.spawn(noting(ctx, "inner"))
        return data

    driver = Driver(workflow(run)).fail("outer", "NO_MODEL")
    assert driver.failure.code == "NO_MODEL"
    assert [emit.payload for emit in driver.emits] == [b'{"text":"inner"}']


def test_cancelling_the_run_reaches_every_child_once() -> None:
    driver = Driver(workflow(three)).cancel()
    assert driver.failure.code == "CANCELLED"
    assert [emit.payload for emit in driver.emits] == [b'{"text":"a"}', b'{"text":"b"}', b'{"text":"c"}']
    driver.replayed()


def test_a_child_that_fails_while_it_is_cancelled_does_not_hide_the_cancel() -> None:
    async def awkward(ctx: Context) -> int:
        try:
            return await child(ctx, "a")
        finally:
            await ctx.step(STEP, Number(), "tidy")

    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(awkward(ctx))
        return data

    driver = Driver(workflow(run)).cancel().fail("tidy")
    assert driver.failure.code == "CANCELLED"


def test_a_child_may_spawn_more_into_its_group() -> None:
    async def more(ctx: Context, group: Any) -> int:
        group.spawn(child(ctx, "later"))
        return 1

    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(more(ctx, group))
        return data

    driver = Driver(workflow(run))
    assert driver.pending() == ["later"]
    assert driver.answer("later").value == Number(0)


def test_spawning_outside_the_block_breaks_the_run() -> None:
    async def run(ctx: Context, data: Number) -> Number:
        ctx.group().spawn(child(ctx, "a"))
        return data

    assert Driver(workflow(run)).failure.code == "WORKFLOW_BROKEN"


def test_a_sibling_that_cleans_up_too_long_is_cut_off_and_the_group_fails() -> None:
    async def stubborn(ctx: Context) -> int:
        try:
            return await child(ctx, "a")
        except Cancelled:
            await ctx.step(STEP, Number(), "endless")
            raise

    async def run(ctx: Context, data: Number) -> Number:
        async with ctx.group() as group:
            group.spawn(stubborn(ctx))
            group.spawn(child(ctx, "b"))
        return data

    driver = Driver(workflow(run)).fail("b", "NO_MODEL")
    assert driver.pending() == ["endless"]
    driver.fire("timer/1")
    assert driver.failure.code == "NO_MODEL"
    driver.replayed()
