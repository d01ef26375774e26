"""The clock of a schedule on the embedded engine: a workflow that waits for its next time, or for a word.

All decisions are in its step, which reads what is kept and moves it on; the workflow is the journaled timer between.
After so many looks it goes on as a new run, so that no journal grows without end.
"""

from typing import Final

import msgspec

from multiagent.core.errors import StepFailed
from multiagent.core.step import StepDef, StepPolicy
from multiagent.engines.base import Context, Workflow

TENANT: Final = "platform"
"""Whose runs these are: nobody's tasks."""
LOOK: Final = "look"
"""The signal that says: something has changed, look again."""
MOST_LOOKS: Final = 100
RETRY_MS: Final = 60_000
"""When a look that failed is tried again."""


class Watch(msgspec.Struct, frozen=True):
    """The schedule that a run keeps the time of. ``clock`` is the run's own id, ``before`` that of the run before."""

    tenant: str
    schedule: str
    clock: str
    before: str = ""


class Told(msgspec.Struct, frozen=True):
    """When to look again (None: when told to); ``over``: never, as it is gone or another run keeps its time."""

    wake: int | None = None
    over: bool = False


TICK: Final = StepDef("schedule_tick", Watch, Told, "orchestrator", StepPolicy(attempt_timeout=60, deadline=600))
GO_ON: Final = StepDef("schedule_go_on", Watch, Told, "orchestrator", StepPolicy(attempt_timeout=60, deadline=600))


async def _keep_time(ctx: Context, watch: Watch) -> Told:
    for number in range(MOST_LOOKS):
        try:
            told = await ctx.step(TICK, watch, f"tick/{number}")
        except StepFailed:
            told = Told(ctx.now() + RETRY_MS)
        if told.over:
            return told
        await _wait(ctx, told.wake)
    return await _go_on(ctx, watch)


async def _wait(ctx: Context, wake: int | None) -> None:
    if wake is None:
        await ctx.wait_signal(LOOK)
        return
    try:
        await ctx.timeout(max(0, wake - ctx.now()) / 1000, ctx.wait_signal(LOOK))
    except TimeoutError:
        return


async def _go_on(ctx: Context, watch: Watch) -> Told:
    number = 0
    while True:
        try:
            return await ctx.step(GO_ON, watch, f"on/{number}")
        except StepFailed:
            number += 1
            await ctx.sleep(RETRY_MS / 1000)


KEEP_TIME: Final = Workflow("schedule", _keep_time, Watch, Told)
