"""Handing tasks over and steering them, from any terminal, whoever works on them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec

from multiagent.app.ask import Ask
from multiagent.app.build import TENANT
from multiagent.app.extensions import asked_for
from multiagent.app.follow import WATCH_S, watch
from multiagent.app.intake import present_vendors
from multiagent.app.leaving import Steered, hand_in, leave, state_of, steered
from multiagent.app.models import gate_config
from multiagent.app.offers import Offers
from multiagent.app.place import Eye, Place
from multiagent.app.snapshot import task_settings
from multiagent.core.errors import InvalidInput, NotFound, StorageUnavailable
from multiagent.core.events import Event
from multiagent.core.task import FINISHED, TaskInput
from multiagent.orchestrator.handover import Handover
from multiagent.orchestrator.service import checked_query
from multiagent.orchestrator.sessions import checked_session
from multiagent.orchestrator.uploads import Uploads
from multiagent.storage.sql.base import Reader

RETRIED: Final = ("failed", "cancelled", "quarantined")
"""Those that may be tried again."""


async def hand_over(place: Place, wanted: Ask, environment: Mapping[str, str]) -> str:
    """Leave a task for those who work there and return the task's id: it is accepted, whoever they are.

    Raises InvalidInput, AttachmentRejected, StorageError's children.
    """
    settings = place.settings
    async with Eye(place) as eye:
        await state_of(eye, "")  # a home that this version cannot read takes no task
    query = checked_query(wanted.query)
    plan = Offers(settings.task.max_nodes).read(wanted.plan, wanted.files)
    uploads = Uploads(place.objects(), settings.attachments.max_mib << 20, settings.attachments.max_count)
    given = Handover(
        query,
        await uploads.take(TENANT, wanted.files),
        task_settings(settings, wanted, ""),
        session=checked_session(wanted.session) if wanted.session else "",
        session_tokens=settings.budget.session_tokens,
        loads=asked_for(settings.load),
        vendors=_vendors(place, environment),
        plan=plan,
        recalled=wanted.recalled,
    )
    return await hand_in(place, given)


async def retry(place: Place, task: str, environment: Mapping[str, str]) -> str:
    """Leave a new task with the input of one that failed or was cancelled, linked to it; return the new one's id.

    Raises NotFound, and InvalidInput where the task goes on or has its answer.
    """
    async with place.reader() as reader:
        row = None if reader is None else await reader.task(TENANT, task)
    if row is None:
        raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
    if row.status not in RETRIED:
        raise InvalidInput(f"task {task} is {row.status}; only one that failed or was cancelled is tried again")
    old = msgspec.json.decode(row.input, type=TaskInput)
    given = Handover(
        old.query,
        old.attachments,
        old.settings,
        old.session,
        end_user=old.end_user,
        plan=old.plan,
        loads=asked_for(place.settings.load),
        parent=task,
        root=row.root_id or task,
        vendors=_vendors(place, environment),
    )
    return await hand_in(place, given)


async def ended(place: Place, task: str, seconds: float | None) -> bool:
    """Wait until a task has ended, at the most so long; return whether it has. NotFound where there is none."""
    until, known = None if seconds is None else time.monotonic() + seconds, False
    async with Eye(place) as eye:
        while True:
            if await _has_ended(place, eye, task, patient=known):
                return True
            known = place.served
            if until is not None and time.monotonic() >= until:
                return False
            await asyncio.sleep(WATCH_S)


async def _has_ended(place: Place, eye: Eye, task: str, *, patient: bool) -> bool:
    """Whether a task has ended; NotFound where there is none. ``patient``: a database that is away is no error."""
    try:
        reader = await eye.reader()
        row = None if reader is None else await reader.task(TENANT, task)
    except StorageUnavailable:
        if patient:
            return False
        raise
    if row is None and not await _submitted(place, reader, task):
        raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
    return row is not None and row.status in FINISHED


async def steer(place: Place, kind: str, task: str, payload: bytes) -> Steered:
    """Ask something of a task, from whatever process; wait until its owner, where there is one, has done it.

    Raises NotFound for an unknown task, InvalidInput for one that has ended, and whatever the owner refused it with.
    """
    await _check(place, kind, task)
    return await steered(place, await leave(place, kind, task, payload), task)


async def watch_place(place: Place, task: str, after: int) -> AsyncGenerator[Event, None]:
    """Yield the events of a task that another process works on, until its last, or until nobody works there."""
    async with place.reader() as reader:
        if reader is not None:
            async for event in watch(reader, TENANT, task, after, place.attended):
                yield event


def _vendors(place: Place, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The vendors that this process has keys for; services have their own."""
    if place.served:
        return ()
    return tuple(sorted(present_vendors(gate_config(place.settings, "terminal"), environment)))


async def _check(place: Place, kind: str, task: str) -> None:
    async with place.reader() as reader:
        row = None if reader is None else await reader.task(TENANT, task)
        if row is not None:
            if row.status in FINISHED:
                raise InvalidInput(f"task {task} has ended ({row.status}); there is nothing to {kind}")
            return
        if not await _submitted(place, reader, task):
            raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")


async def _submitted(place: Place, reader: Reader | None, task: str) -> bool:
    """Whether a task waits in the inbox to be accepted, or was taken from there a moment ago."""
    if place.shared:
        return False
    async with place.inbox() as inbox:
        if any(row.id == task and row.kind == "submit" for row in await inbox.waiting(10_000)):
            return True
    return reader is not None and await reader.task(TENANT, task) is not None
