"""What a task waits for that no service does now."""

from collections.abc import Sequence
from typing import Final

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.app.system import SystemClock
from multiagent.core.errors import ConfigInvalid, PlatformError
from multiagent.core.step import Queue
from multiagent.core.task import FINISHED
from multiagent.engines.base import Pending
from multiagent.engines.factory import count_workers
from multiagent.orchestrator.workflows import TASK

START: Final = "start one: multiagent serve"
LONG_S: Final = 15
"""A step that waits in a queue for so long has nobody, though somebody polled it within the last minute."""
UNTAKEN: Final = f"no orchestrator has taken it; {START} orchestrator"


async def lacking(place: Place, task: str) -> str:
    """Return what a task waits for that no service does, and what to start; nothing where all it needs is there, and
    where its engine is this program.

    An error on the way is an answer, too: the database or the engine may be what is missing.
    """
    if not place.served:
        return ""
    try:
        async with place.reader() as reader:
            row = None if reader is None else await reader.task(TENANT, task)
            command = None if reader is None else await reader.command(TENANT, task)
        if row is not None and row.status in (*FINISHED, "paused"):
            return ""
        if command is not None and command.delivered is None:
            return UNTAKEN
        if row is None or not place.shared:
            return ""
        return absent(await _pending(place, task), SystemClock().now()) or await unpolled(place, ("orchestrator",))
    except ConfigInvalid:  # this process cannot ask the engine; those that do the work may all the same
        return ""
    except PlatformError as error:
        return error.message


def absent(pending: Sequence[Pending], now: int) -> str:
    """Return which service is missing for steps that wait, and what to start; nothing where none is."""
    waiting = [one for one in pending if not one.running]
    for one in sorted(waiting, key=lambda one: (one.workers, one.since)):
        service, seconds = one.queue.rpartition("-")[2], (now - one.since) // 1000
        if not one.workers:
            return f"no service polls the queue {one.queue}, on which {one.key} waits; {START} {service}"
        if seconds >= LONG_S:
            busy = f"{one.key} waits in the queue {one.queue} for {seconds} s"
            return f"{busy}; whoever polled it is busy or gone: start one more: multiagent serve {service}"
    return ""


async def unpolled(place: Place, services: Sequence[Queue]) -> str:
    """Return which of these services nobody does, and what to start; nothing where somebody does each.

    Raises EngineUnavailable where Temporal is away, ConfigInvalid.
    """
    from multiagent.app.temporal import temporal_options

    options = temporal_options(place)
    counts = await count_workers(options, place.objects(), services)
    return "; ".join(
        f"no service polls the queue {options.queue(one)}; {START} {one}"
        for one, count in zip(services, counts, strict=True)
        if not count
    )


async def _pending(place: Place, task: str) -> tuple[Pending, ...]:
    from multiagent.app.temporal import open_asked

    async with open_asked(place, (TASK,)) as engine:
        return await engine.pending(TENANT, task)
