"""Replay names the row at which today's code does something else."""

import pytest

from multiagent.core.errors import NonDeterminism
from multiagent.core.outcome import Outcome
from multiagent.core.step import StepDef
from multiagent.engines.base import Context, Workflow
from multiagent.engines.kernel import encode
from multiagent.engines.replay import Start, replay
from tests.unit.engines.drive import START, Driver, Number, Said, workflow

STEP = StepDef("double", Number, Number, "agent")


async def two(ctx: Context, data: Number) -> Number:
    first = await ctx.step(STEP, data, "one")
    return await ctx.step(STEP, first, "two")


def finished() -> Driver:
    """A run of two steps."""
    return Driver(workflow(two), Number(3)).answer("one", 6).answer("two", 12)


def test_the_error_names_the_row_and_what_the_code_does_now() -> None:
    async def other(ctx: Context, data: Number) -> Number:
        first = await ctx.step(STEP, data, "one")
        return await ctx.step(STEP, first, "deux")

    with pytest.raises(NonDeterminism) as drift:
        finished().replayed(workflow(other))
    assert drift.value.details["n"] == 2
    assert "deux" in drift.value.message


def test_code_that_ends_earlier_or_later_is_drift() -> None:
    async def earlier(ctx: Context, data: Number) -> Number:
        return await ctx.step(STEP, data, "one")

    async def later(ctx: Context, data: Number) -> Number:
        last = await two(ctx, data)
        return await ctx.step(STEP, last, "three")

    for changed in (earlier, later):
        with pytest.raises(NonDeterminism):
            finished().replayed(workflow(changed))


def test_another_result_is_drift() -> None:
    async def other(ctx: Context, data: Number) -> Number:
        return Number((await two(ctx, data)).value + 1)

    with pytest.raises(NonDeterminism):
        finished().replayed(workflow(other))


def test_a_result_that_is_not_stored_is_drift() -> None:
    run = finished()
    del run.results["one"]
    with pytest.raises(NonDeterminism, match="not stored"):
        run.replayed()


def test_an_input_that_no_longer_fits_is_drift() -> None:
    async def said(ctx: Context, data: Said) -> Number:
        return await ctx.step(STEP, Number(len(data.text)), "one")

    changed = Workflow("test", said, Said, Number)
    with pytest.raises(NonDeterminism, match="no longer fits"):
        replay(changed, Start("task", encode(Number(3)), START), (), {})


def test_a_tampered_end_is_drift() -> None:
    run = finished()
    last: Outcome = run.journal[-1]
    run.journal[-1] = Outcome(last.n, "end", last.key, last.time, encode(Number(99)), last.digest)
    with pytest.raises(NonDeterminism, match="result"):
        run.replayed()


def test_an_empty_journal_replays_to_the_first_rest() -> None:
    run = Driver(workflow(two), Number(3))
    again = replay(run.definition, run.start, (), {})
    assert not again.ended
    assert [action.mark() for action in again.kernel.pending()] == run.marks()
    assert again.kernel.live
