"""Takes what other processes left in the inbox: copies it into the main file, then deletes it there.

Killed at any point in between, the next owner copies it again, and as ids are known by then, nothing is taken twice.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import EngineOwned, InvalidInput, PlatformError
from multiagent.core.fault import fault
from multiagent.core.principal import Principal
from multiagent.orchestrator.approvals import Approvals
from multiagent.orchestrator.handover import Handover, Host
from multiagent.orchestrator.service import Service
from multiagent.storage.sql.base import CommandRow, Inbox, Reader, Writer
from multiagent.storage.sql.ops import DeliverCommand, StoreCommand

POLL_S: Final = 0.05
"""How often the inbox is looked at: a quarter of the 200 ms within which a command is taken."""

T = TypeVar("T")
Take = Callable[[Principal, CommandRow], Awaitable[object]]
"""Stores a command of one kind, idempotent by its id; a PlatformError that is not retryable refuses it."""

_log = logging.getLogger("multiagent.intake")


@dataclass(frozen=True, slots=True)
class Files:
    """Where commands wait, and where they are stored."""

    inbox: Inbox
    writer: Writer
    reader: Reader


class Intake:
    """The owner's side of the inbox."""

    def __init__(self, files: Files, service: Service, approvals: Approvals, clock: Clock, host: Host) -> None:
        self._inbox = files.inbox
        self._writer = files.writer
        self._reader = files.reader
        self._service = service
        self._clock = clock
        self._host = host
        self._kinds: dict[str, Take] = {"submit": self._submit, "decide": approvals.take}

    async def run(self) -> None:
        """Take until cancelled; what fails is tried again at the next look: tasks go on, and it may be mended."""
        left, said = True, ""
        while True:
            try:
                if left or self._inbox.changed():
                    left = True
                    await self.take()
                    left, said = False, ""
            except PlatformError as error:
                if said != error.message:
                    _log.log(logging.WARNING if error.retryable else logging.ERROR, "the inbox is not taken: %s", error)
                said = error.message
            await self._clock.sleep(POLL_S)

    async def take(self) -> int:
        """Take all there is; return how many."""
        taken = 0
        while rows := await self._inbox.waiting():
            for row in rows:
                await self._one(row)
            fault("intake.after-store-before-delete")
            await self._inbox.remove(rows)
            fault("intake.after-delete-before-deliver")
            self._service.wake()
            taken += len(rows)
        return taken

    async def _one(self, row: CommandRow) -> None:
        if await self._reader.command(row.tenant, row.id) is not None:
            return  # taken by an owner that was killed before it could delete it here
        try:
            principal = decoded(row.principal, Principal)
            if principal.tenant != row.tenant:
                raise InvalidInput("a command of one tenant cannot be given in another's name")
            await self._kinds.get(row.kind, self._store)(principal, row)
        except PlatformError as error:
            if error.retryable:
                raise
            await self._refuse(row, error)

    async def _store(self, _principal: Principal, row: CommandRow) -> None:
        await self._writer.commit(stored(row))

    async def _refuse(self, row: CommandRow, error: PlatformError) -> None:
        _log.warning("command %s (%s) was refused: %s", row.id, row.kind, error)
        reason = f"{error.code}: {error.message}"
        await self._writer.commit(
            stored(row), DeliverCommand(tenant=row.tenant, id=row.id, time=self._clock.now(), error=reason)
        )

    async def _submit(self, principal: Principal, row: CommandRow) -> None:
        given = decoded(row.payload, Handover)
        missing = sorted(set(given.vendors) - self._host.vendors)
        if missing:
            raise EngineOwned(
                f"process {self._host.pid} works on this home and has no key for {', '.join(missing)}, which this "
                "command has; wait until it ends, stop it, start it with that key, or use another MULTIAGENT_HOME",
                details={"pid": self._host.pid},
            )
        unloaded = sorted(set(given.loads) - self._host.loads)
        if unloaded:
            raise EngineOwned(
                f"process {self._host.pid} works on this home and has not loaded {', '.join(unloaded)}, which this "
                "command has; wait until it ends, stop it, start it with --load, or use another MULTIAGENT_HOME",
                details={"pid": self._host.pid},
            )
        settings = msgspec.structs.replace(given.settings, policy_version=self._host.policy_version)
        created = await self._service.accept(principal, row.id, msgspec.structs.replace(given, settings=settings))
        if created.id != row.id:  # the idempotency key stands for an earlier task: say which
            await self._writer.commit(
                StoreCommand(
                    tenant=row.tenant, id=row.id, task=created.id, kind="submit", payload=b"", principal=row.principal,
                    time=row.time,
                ),
                DeliverCommand(tenant=row.tenant, id=row.id, time=self._clock.now()),
            )  # fmt: skip


def stored(row: CommandRow) -> StoreCommand:
    """Return the operation that keeps a command in the main file."""
    return StoreCommand(
        tenant=row.tenant, id=row.id, task=row.task, kind=row.kind, payload=row.payload, principal=row.principal,
        time=row.time,
    )  # fmt: skip


def decoded(data: bytes, kind: type[T]) -> T:
    """Return a record that another process wrote; InvalidInput where it cannot be read."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(
            f"this command was written by another version of the program and cannot be read ({error}); give it again"
        ) from error
