"""Leaving commands for whoever works on a place's tasks, from any terminal, and learning what became of them.

A command counts once it is left: in the inbox of a home that one process owns, or in a database that all write to. The
owner of the home takes it within 200 ms, and so do services; where there are none, the next ones do.
"""

import asyncio
import time
from pathlib import Path
from typing import Final

import msgspec

from multiagent.app.build import LOCAL_USER, TENANT
from multiagent.app.place import Eye, Place
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.errors import PlatformError, StorageUnavailable
from multiagent.orchestrator.handover import Handover
from multiagent.orchestrator.intake import stored
from multiagent.orchestrator.service import Service
from multiagent.orchestrator.sessions import Sessions
from multiagent.orchestrator.uploads import Uploads
from multiagent.policy.factory import bundle_version
from multiagent.storage.sql.base import CommandRow, CommandState

POLL_S: Final = 0.02
TAKEN_S: Final = 15.0
"""How long a terminal waits for a living owner to take and deliver its command before it says that it still waits."""
SERVED_S: Final = 5.0
"""The same for services, of which a terminal does not know whether they live."""


class Steered(msgspec.Struct, frozen=True):
    """What became of a command: ``delivered``, or it waits."""

    command: str
    task: str
    delivered: bool


async def leave(place: Place, kind: str, task: str, payload: bytes) -> str:
    """Leave a command; return its id. An empty ``task`` is the command's own id: a task to accept.

    Raises StorageError's children.
    """
    identity = SystemIds()()
    row = CommandRow(
        TENANT, identity, task or identity, kind, payload, msgspec.json.encode(LOCAL_USER), SystemClock().now()
    )
    if place.shared:
        async with place.storage() as storage:
            await storage.writer.commit(stored(row))
    else:
        async with place.inbox() as inbox:
            await inbox.put(row)
    return identity


async def hand_in(place: Place, given: Handover) -> str:
    """Leave a task to be accepted, or accept it where this process may write; return its id.

    Raises InvalidInput and StorageError's children.
    """
    if not place.shared:
        return await leave(place, "submit", "", msgspec.json.encode(given))
    clock, ids, settings = SystemClock(), SystemIds(), place.settings
    async with place.storage() as storage:
        uploads = Uploads(storage.objects, settings.attachments.max_mib << 20, settings.attachments.max_count)
        service = Service(storage.writer, uploads, clock, ids)
        service.recall = Sessions(storage.writer, storage.reader, clock, settings.session.max_tokens).recall
        version = bundle_version(Path(settings.policy_dir) if settings.policy_dir else None)
        frozen = msgspec.structs.replace(given.settings, policy_version=version)
        created = await service.accept(LOCAL_USER, ids(), msgspec.structs.replace(given, settings=frozen))
        return created.id


async def waiting(place: Place) -> bool:
    """Whether any command waits to be taken."""
    if place.shared:
        async with place.reader() as reader:
            return reader is not None and bool(await reader.commands(1))
    async with place.inbox() as inbox:
        return bool(await inbox.waiting(1))


async def taken(place: Place, command: str, seconds: float | None = None) -> str | None:
    """Wait until a command is delivered; return the task it is about, which under an idempotency key may be an earlier
    one. None: it waits still, as nobody works there or they are busy.

    Raises the error that the command was refused with.
    """
    until = time.monotonic() + (seconds or (SERVED_S if place.served else TAKEN_S))
    async with Eye(place) as eye:
        while True:
            attended = place.attended()
            state = await state_of(eye, command)
            if state is not None and state.delivered is not None:
                if state.error:
                    raise refusal(state.error)
                return state.task
            if not attended or time.monotonic() > until:
                return None
            await asyncio.sleep(POLL_S)


async def steered(place: Place, command: str, task: str) -> Steered:
    """Wait until a command is delivered, where somebody works on tasks; raises what it was refused with."""
    delivered = await taken(place, command)
    return Steered(command, task, delivered is not None)


async def state_of(eye: Eye, command: str) -> CommandState | None:
    """Return what became of a command; None where nobody has taken it yet."""
    try:
        reader = await eye.reader()
        return None if reader is None else await reader.command(TENANT, command)
    except StorageUnavailable:  # its owner is about to make it
        return None


def refusal(text: str) -> PlatformError:
    """Return a refused command's error as it was raised where it was refused (``CODE: message``)."""
    code, _, message = text.partition(": ")
    for kind in _kinds(PlatformError):
        if kind.code == code:
            return kind(message)
    return PlatformError(text)


def _kinds(kind: type[PlatformError]) -> list[type[PlatformError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _kinds(child))]
