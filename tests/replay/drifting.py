"""Workflows that do not replay: one depends on the order of a set of texts, which differs from process to process."""

from multiagent.engines.base import Context, Workflow
from multiagent.testing.workflows import WORK, Job

NAMES = {f"name-{number}" for number in range(20)}


async def _by_set(ctx: Context, job: Job) -> Job:
    for name in NAMES:
        await ctx.step(WORK, job, name)
    return job


BY_SET = Workflow("by-set", _by_set, Job, Job)
