"""Delivers every command to the engine until it is acknowledged; the engine deduplicates by the command's id.

A task's commands go one after the other, as they were given; those of different tasks may go side by side.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import EngineUnavailable, InvalidInput, NotFound, PlatformError
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.facts import ApprovalEnded, TaskEnded
from multiagent.core.fault import fault
from multiagent.core.outcome import failure
from multiagent.core.principal import Principal
from multiagent.engines.base import Engine
from multiagent.engines.schedules.base import Schedules
from multiagent.orchestrator import schedules
from multiagent.orchestrator.approvals import DECISION, Approvals, Decision
from multiagent.orchestrator.forking import fork
from multiagent.orchestrator.keeping import KINDS, keep
from multiagent.orchestrator.signals import send
from multiagent.storage.sql.base import CommandRow, Reader, Turn, Writer
from multiagent.storage.sql.ops import AppendEvent, DeliverCommand, Op, UpdateTask

POLL_S: Final = 1.0
"""How often the store is looked at where nobody woke the dispatcher."""
MOST: Final = 1000
"""So many commands are looked at at once: as many may wait for their time without holding up others."""

_log = logging.getLogger("multiagent.dispatcher")


class Dispatcher:
    """Reads undelivered commands, hands each to the engine, and marks it delivered."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        engine: Engine,
        clock: Clock,
        lacks: Callable[[bytes], str] = lambda _input: "",
        width: int = 1,
    ) -> None:
        """``lacks`` says of a task's input what this process lacks for it; ``width`` tasks at once get commands."""
        self._lacks = lacks
        self._width = width
        self._seen = 0
        self._writer = writer
        self._reader = reader
        self._engine = engine
        self._clock = clock
        self._woken = asyncio.Event()
        self.turn: Turn | None = None
        """Set where other processes deliver, too: one does at a time, so that nothing is done twice for nothing."""
        self.approvals: Approvals | None = None
        """Set where people's decisions are taken that come as commands, not through an inbox."""
        self.schedules: Schedules | None = None
        """Set where schedules are kept."""

    def wake(self) -> None:
        """Say that there is a new command."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled. What fails for a time (storage, engine) is tried again at the next look."""
        said = ""
        while True:
            self._woken.clear()
            try:
                await self.deliver()
            except PlatformError as error:
                if not error.retryable:
                    raise
                if said != error.message:
                    _log.warning("commands are delivered later: %s", error)
                said = error.message
            try:
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def waiting(self) -> int:
        """Return how many commands were undelivered when this process last looked."""
        return self._seen

    async def deliver(self) -> int:
        """Deliver all commands there are; return how many. A retryable error is raised once the others are done."""
        delivered = 0
        while self._mine() and (commands := await self._reader.commands(MOST)):
            self._seen = len(commands)
            of_tasks: dict[str, list[CommandRow]] = {}
            for command in commands:
                of_tasks.setdefault(command.task, []).append(command)
            left, failed = iter(of_tasks.values()), list[PlatformError]()
            rounds = await asyncio.gather(*(self._some(left, failed) for _ in range(self._width)))
            delivered += sum(rounds)
            if failed:
                raise failed[0]
        self._seen = 0
        return delivered

    def _mine(self) -> bool:
        return self.turn is None or self.turn.mine()

    async def _some(self, left: Iterator[list[CommandRow]], failed: list[PlatformError]) -> int:
        """Deliver the commands of one task after the other; one that has to wait holds up those of its own task."""
        delivered = 0
        for commands in left:
            for command in commands:
                try:
                    await self._one(command)
                except PlatformError as error:
                    failed.append(error)
                    break
                delivered += 1
        return delivered

    async def _one(self, command: CommandRow) -> None:
        try:
            await self._hand_over(command)
        except PlatformError as error:
            if error.retryable:
                raise
            await self._writer.commit(*self._refused(command, error))
        else:
            fault("dispatcher.after-deliver-before-acknowledge")
            await self._writer.commit(*self._acknowledged(command))

    def _acknowledged(self, command: CommandRow) -> list[Op]:
        """What is written of a command that the engine took; a decision is an event of its task, too."""
        now, tenant = self._clock.now(), command.tenant
        ops: list[Op] = [DeliverCommand(tenant=tenant, id=command.id, time=now)]
        if command.kind == "decide":
            decision = msgspec.json.decode(command.payload, type=Decision)
            word = decision.word
            state = "approved" if word.approved else "rejected"
            fact = ApprovalEnded(decision.approval, state, word.by, word.reason, word.hash)
            key = f"decided/{decision.approval}"
            event = EventDraft(key, EventKind.APPROVAL_DECIDED, msgspec.json.encode(fact), now, word.by)
            ops.append(AppendEvent(tenant=tenant, task=command.task, event=event))
        return ops

    def _refused(self, command: CommandRow, error: PlatformError) -> list[Op]:
        """What is written of a command that the engine will never take; a task that cannot start has failed."""
        now, tenant, task = self._clock.now(), command.tenant, command.task
        _log.error("command %s (%s) of task %s was refused: %s", command.id, command.kind, task, error)
        reason = f"{error.code}: {error.message}"
        ops: list[Op] = [DeliverCommand(tenant=tenant, id=command.id, time=now, error=reason)]
        if command.kind == "submit" and not isinstance(error, NotFound):
            fact = TaskEnded(code=error.code, message=error.message)
            event = EventDraft("refused", EventKind.TASK_FAILED, msgspec.json.encode(fact), now)
            ops.append(AppendEvent(tenant=tenant, task=task, event=event))
            ops.append(UpdateTask(tenant=tenant, id=task, time=now, status="failed", error=failure(error)))
        return ops

    async def _hand_over(self, command: CommandRow) -> None:
        tenant, task = command.tenant, command.task
        if command.kind == "submit":
            await self._start(tenant, task)
        elif command.kind == "cancel":
            await self._engine.cancel(tenant, task, command.payload.decode("utf-8", "replace"))
        elif command.kind == "pause":
            await self._engine.pause(tenant, task, command.payload.decode("utf-8", "replace"), command.id)
        elif command.kind == "resume":
            await self._engine.resume(tenant, task, command.id)
        elif command.kind in ("decide", DECISION):
            await self._decide(command)
        elif command.kind == "signal":
            await send(self._engine, command)
        elif command.kind == "fork":
            await fork(self._engine, command)
        elif command.kind == "release":
            await self._engine.release(tenant, task)
        else:
            await self._keep(command)

    async def _keep(self, command: CommandRow) -> None:
        """Do what is asked of what is kept: of sessions, of tasks that have ended, of schedules."""
        if command.kind in KINDS:
            await keep(self._writer, command, self._clock.now())
        elif command.kind == schedules.KIND and self.schedules is not None:
            await schedules.do(self.schedules, command)
        else:
            raise InvalidInput(f"the command {command.kind!r} is not known to this version")

    async def _decide(self, command: CommandRow) -> None:
        """Tell a task what was decided; what is yet to be taken counts from when its command was left, and is a command
        of its own then.
        """
        if command.kind == "decide":
            decision = msgspec.json.decode(command.payload, type=Decision)
            word = msgspec.json.encode(decision.word)
            name = f"approval/{decision.approval}"
            await self._engine.signal(command.tenant, command.task, name, word, command.id)
            return
        if self.approvals is None:
            raise InvalidInput("decisions are not taken here; decide again")
        principal = msgspec.json.decode(command.principal, type=Principal)
        given = msgspec.structs.replace(command, id=f"{command.id}/taken", kind="decide")
        if refused := await self.approvals.take(principal, given):
            raise InvalidInput(refused.partition(": ")[2])

    async def _start(self, tenant: str, task: str) -> None:
        row = await self._reader.task(tenant, task)
        if row is None:
            raise NotFound(f"there is no task {task}")
        if lack := self._lacks(row.input):
            raise EngineUnavailable(f"task {task} stays: {lack}")
        await self._engine.start(tenant, task, row.workflow, row.input)
