"""Schedules where tasks are accepted: a run is a task like any other, and what is asked of a schedule is a command."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.ids import Ids
from multiagent.core.principal import Principal
from multiagent.core.schedule import Schedule, Span, run_key
from multiagent.core.settings import TaskSettings
from multiagent.engines.schedules.base import Schedules
from multiagent.orchestrator.handover import Handover
from multiagent.orchestrator.service import Service
from multiagent.storage.sql.base import CommandRow

KIND: Final = "schedule"
"""The kind of these commands; the task of such a command is the schedule's name, so that they go in their order."""


class Create(msgspec.Struct, frozen=True, tag="create"):
    """Keep a schedule."""

    schedule: Schedule


class Update(msgspec.Struct, frozen=True, tag="update"):
    """Put a schedule in the place of the one of its name."""

    schedule: Schedule


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Run none of its times."""

    note: str = ""


class Unpause(msgspec.Struct, frozen=True, tag="unpause"):
    """Go on with its times."""

    note: str = ""


class Trigger(msgspec.Struct, frozen=True, tag="trigger"):
    """Run it now; the time of the command names the run."""


class Backfill(msgspec.Struct, frozen=True, tag="backfill"):
    """Run past times after all."""

    span: Span


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Forget it."""


Wish = Create | Update | Pause | Unpause | Trigger | Backfill | Delete
"""What is asked of a schedule: the payload of a ``schedule`` command."""

_WISH: Final[msgspec.json.Decoder[Wish]] = msgspec.json.Decoder(Wish)


async def do(schedules: Schedules, command: CommandRow) -> None:
    """Do what a command asks of a schedule; NotFound and InvalidInput refuse it."""
    try:
        wish = _WISH.decode(command.payload)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the command was left by another version of the program; ask again ({error})") from error
    tenant, name = command.tenant, command.task
    match wish:
        case Create(schedule):
            await schedules.create(tenant, _acting(schedule, command), command.id)
        case Update(schedule):
            await schedules.update(tenant, _acting(schedule, command))
        case Pause(note):
            await schedules.pause(tenant, name, note)
        case Unpause(note):
            await schedules.unpause(tenant, name, note)
        case Trigger():
            await schedules.trigger(tenant, name, command.time)
        case Backfill(span):
            await schedules.backfill(tenant, name, span)
        case Delete():
            with suppress(NotFound):  # it was there when this was asked: a kill came before this was noted
                await schedules.delete(tenant, name)


def _acting(schedule: Schedule, command: CommandRow) -> Schedule:
    """Return a schedule that acts for who asks for it, whomever it names."""
    return msgspec.structs.replace(schedule, principal=msgspec.json.decode(command.principal, type=Principal))


class Runs:
    """Accepts the runs of schedules as tasks. ``settings`` freezes what a run is done with."""

    def __init__(
        self, service: Service, ids: Ids, settings: Callable[[Schedule], TaskSettings], session_tokens: int | None
    ) -> None:
        self._service = service
        self._ids = ids
        self._settings = settings
        self._session_tokens = session_tokens

    async def fire(self, tenant: str, schedule: Schedule, planned: int) -> str:
        """Accept the task of a run, once for its time; return its id. Raises what ``Service.accept`` raises."""
        if schedule.principal.tenant != tenant:
            raise InvalidInput(f"schedule {schedule.id} acts for somebody of another tenant; create it again")
        given = Handover(
            schedule.query,
            settings=self._settings(schedule),
            session=schedule.session,
            session_tokens=self._session_tokens,
            idempotency_key=run_key(schedule.id, planned),
            loads=tuple(sorted(self._service.host.loads)),
            vendors=tuple(sorted(self._service.host.vendors)),
        )
        return (await self._service.accept(schedule.principal, self._ids(), given)).id

    async def stop(self, tenant: str, task: str, reason: str) -> None:
        """Ask for the end of a task."""
        await self._service.cancel(Principal(tenant, "schedules"), task, reason)
