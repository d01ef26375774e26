"""Steering from any terminal: commands left in the inbox of a home that another process owns, or that nobody owns.

A command counts once it is in the inbox. The owner takes it within 200 ms; where there is none, the next one does.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from multiagent.app.ask import Ask
from multiagent.app.build import LOCAL_USER, TENANT
from multiagent.app.extensions import asked_for
from multiagent.app.follow import WATCH_S, watch
from multiagent.app.intake import present_vendors
from multiagent.app.models import gate_config
from multiagent.app.offers import Offers
from multiagent.app.snapshot import task_settings
from multiagent.app.system import SystemClock, SystemIds
from multiagent.config.settings import Places, Settings
from multiagent.core.errors import InvalidInput, NotFound, PlatformError, StorageUnavailable
from multiagent.core.events import Event
from multiagent.core.task import FINISHED, TaskInput
from multiagent.engines.factory import owner_of
from multiagent.orchestrator.handover import Handover
from multiagent.orchestrator.service import checked_query
from multiagent.orchestrator.sessions import checked_session
from multiagent.orchestrator.uploads import Uploads
from multiagent.storage.factory import open_inbox, open_objects, open_reader
from multiagent.storage.sql.base import CommandRow, CommandState, Reader

POLL_S: Final = 0.02
TAKEN_S: Final = 15.0
"""How long a terminal waits for a living owner to take and deliver its command before it says that it still waits."""

RETRIED: Final = ("failed", "cancelled", "quarantined")
"""Those that may be tried again."""


class Steered(msgspec.Struct, frozen=True):
    """What became of a command: ``delivered``, or it waits for the owner ``owner`` (None: for whoever is next)."""

    command: str
    task: str
    delivered: bool
    owner: int | None


async def hand_over(places: Places, settings: Settings, wanted: Ask, environment: Mapping[str, str]) -> str:
    """Leave a task for the owner of the home and return the task's id: it is accepted, whoever owns the home.

    Raises InvalidInput, AttachmentRejected, StorageError's children.
    """
    home, attachments = Path(places.home), settings.attachments
    await _state(home, "")  # a home that this version cannot read takes no task
    query = checked_query(wanted.query)
    plan = Offers(settings.task.max_nodes).read(wanted.plan, wanted.files)
    uploads = Uploads(open_objects(home), attachments.max_mib << 20, attachments.max_count)
    given = Handover(
        query,
        await uploads.take(TENANT, wanted.files),
        task_settings(settings, wanted, ""),
        session=checked_session(wanted.session) if wanted.session else "",
        session_tokens=settings.budget.session_tokens,
        loads=asked_for(settings.load),
        vendors=tuple(sorted(present_vendors(gate_config(settings, "terminal"), environment))),
        plan=plan,
        recalled=wanted.recalled,
    )
    return await leave(home, "submit", "", msgspec.json.encode(given))


async def retry(places: Places, settings: Settings, task: str, environment: Mapping[str, str]) -> str:
    """Leave a new task with the input of one that failed or was cancelled, linked to it; return the new one's id.

    Raises NotFound, and InvalidInput where the task goes on or has its answer.
    """
    home = Path(places.home)
    async with open_reader(home) as reader:
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
        loads=asked_for(settings.load),
        parent=task,
        root=row.root_id or task,
        vendors=tuple(sorted(present_vendors(gate_config(settings, "terminal"), environment))),
    )
    return await leave(home, "submit", "", msgspec.json.encode(given))


async def ended(home: Path, task: str, seconds: float | None) -> bool:
    """Wait until a task has ended, at the most so long; return whether it has. NotFound where there is none."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        async with open_reader(home) as reader:
            row = None if reader is None else await reader.task(TENANT, task)
            if row is None and not await _submitted(home, reader, task):
                raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
        if row is not None and row.status in FINISHED:
            return True
        if until is not None and time.monotonic() >= until:
            return False
        await asyncio.sleep(WATCH_S)


async def leave(home: Path, kind: str, task: str, payload: bytes) -> str:
    """Put a command into the inbox; return its id. An empty ``task`` is the command's own id: a task to accept."""
    identity = SystemIds()()
    row = CommandRow(
        TENANT, identity, task or identity, kind, payload, msgspec.json.encode(LOCAL_USER), SystemClock().now()
    )
    async with open_inbox(home) as inbox:
        await inbox.put(row)
    return identity


async def steer(home: Path, kind: str, task: str, payload: bytes) -> Steered:
    """Ask something of a task, from whatever process; wait until its owner, where there is one, has done it.

    Raises NotFound for an unknown task, InvalidInput for one that has ended, and whatever the owner refused it with.
    """
    await _check(home, kind, task)
    command = await leave(home, kind, task, payload)
    delivered = await taken(home, command)
    return Steered(command, task, delivered is not None, owner_of(home))


async def taken(home: Path, command: str, seconds: float = TAKEN_S) -> str | None:
    """Wait until the owner has delivered a command; return the task it is about, which under an idempotency key may
    be an earlier one. None: it waits still, as nobody owns the home or the owner is busy.

    Raises the error that the command was refused with.
    """
    until = time.monotonic() + seconds
    while True:
        owned = owner_of(home) is not None
        state = await _state(home, command)
        if state is not None and state.delivered is not None:
            if state.error:
                raise refusal(state.error)
            return state.task
        if not owned or time.monotonic() > until:
            return None
        await asyncio.sleep(POLL_S)


async def _state(home: Path, command: str) -> CommandState | None:
    try:
        async with open_reader(home) as reader:
            return None if reader is None else await reader.command(TENANT, command)
    except StorageUnavailable:  # its owner is about to make it
        return None


def owner(home: Path) -> int | None:
    """Return the pid of the process that owns a home now (0 where it is not known yet); None where none does."""
    return owner_of(home)


async def watch_home(home: Path, task: str, after: int) -> AsyncGenerator[Event, None]:
    """Yield the events of a task that another process works on, until its last, or until nobody owns the home."""
    async with open_reader(home) as reader:
        if reader is not None:
            async for event in watch(reader, TENANT, task, after, lambda: owner_of(home) is not None):
                yield event


def refusal(text: str) -> PlatformError:
    """Return a refused command's error as it was raised where it was refused (``CODE: message``)."""
    code, _, message = text.partition(": ")
    for kind in _kinds(PlatformError):
        if kind.code == code:
            return kind(message)
    return PlatformError(text)


def _kinds(kind: type[PlatformError]) -> list[type[PlatformError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _kinds(child))]


async def _check(home: Path, kind: str, task: str) -> None:
    async with open_reader(home) as reader:
        row = None if reader is None else await reader.task(TENANT, task)
        if row is not None:
            if row.status in FINISHED:
                raise InvalidInput(f"task {task} has ended ({row.status}); there is nothing to {kind}")
            return
        if not await _submitted(home, reader, task):
            raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")


async def _submitted(home: Path, reader: Reader | None, task: str) -> bool:
    """Whether a task waits in the inbox to be accepted, or was taken from there a moment ago."""
    async with open_inbox(home) as inbox:
        if any(row.id == task and row.kind == "submit" for row in await inbox.waiting(10_000)):
            return True
    return reader is not None and await reader.task(TENANT, task) is not None
