"""The embedded engine: every run of one home, in this process, on the journal in its database."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from multiagent.core.errors import (
    EngineError,
    EngineUnavailable,
    InvalidInput,
    NonDeterminism,
    NotFound,
    PlatformError,
    StorageError,
)
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.travel import Changes, Moment, Point
from multiagent.engines.base import RunResult, Workflow
from multiagent.engines.embedded.records import Parts
from multiagent.engines.embedded.recovery import fresh, resumed
from multiagent.engines.embedded.run import Run
from multiagent.engines.ending import Closed, quarantine_ops
from multiagent.engines.forking import Wish, forked
from multiagent.engines.kernel import CANCEL, PAUSE, RESERVED, RESUME
from multiagent.engines.moments import moment
from multiagent.engines.opened import Opened
from multiagent.engines.past import replayed
from multiagent.engines.turns import Turns
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import CreateTask, TaskCreated

FINISHED = ("completed", "failed", "cancelled", "quarantined")
_log = logging.getLogger("multiagent.engine")


class EmbeddedEngine:
    """See ``Engine``. Made by ``engines.factory.open_engine``; it owns its home while it is open."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns = Turns()
        self._runs: dict[str, Run] = {}
        self._opening = asyncio.Lock()
        self._open = True
        self._draining = False

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002 — the port's name
        """Start a workflow, idempotent by id; InvalidInput for an unknown one or an input that does not fit."""
        definition = self._workflow(workflow)
        async with self._opening:
            if task in self._runs:
                return
            row = await self._parts.reader.task(tenant, task)
            if row is None:
                row = await self._create(tenant, task, definition, input)
            if row.status in FINISHED:
                return
            run = self._launch(await self._opened(row, definition))
        await asyncio.shield(run.started)

    async def recover(self, lacks: Callable[[bytes], str] = lambda _input: "") -> tuple[str, ...]:
        """Go on with every run that this home had under way; return their tasks' ids.

        A run whose code drifted is quarantined; one that cannot go on here (its workflow or a step is not registered, a
        stored result is gone) is left as it is.
        """
        taken = []
        for row in await self._parts.reader.unfinished():
            if row.status == "queued" or row.id in self._runs:
                continue
            if row.workflow not in self._parts.workflows:
                _log.warning("task %s stays: no workflow %r is registered in this process", row.id, row.workflow)
                continue
            if lack := lacks(row.input):
                _log.warning("task %s stays: %s", row.id, lack)
                continue
            if await self._resume(row):
                taken.append(row.id)
        return tuple(taken)

    async def _resume(self, row: TaskRow) -> bool:
        try:
            async with self._opening:
                run = self._launch(await resumed(self._parts, row, self._workflow(row.workflow)))
            await asyncio.shield(run.started)
        except NonDeterminism as drift:
            await self._quarantine(row, drift)
            return False
        except PlatformError as error:  # its own trouble; the others go on
            _log.warning("task %s could not be gone on with: %s", row.id, error)
            return False
        return True

    async def _quarantine(self, row: TaskRow, drift: NonDeterminism) -> None:
        """Note that a run drifted; one that was launched has noted it itself, and a finished status never changes."""
        _log.error("task %s is quarantined: %s", row.id, drift)
        try:
            await self._parts.writer.commit(*quarantine_ops(row, drift, self._parts.clock.now()))
        except StorageError as error:
            _log.warning("the quarantine of task %s could not be noted: %s", row.id, error)

    async def result(self, tenant: str, task: str) -> RunResult:
        """Wait for the end; cancelling the wait does not touch the workflow."""
        run = self._runs.get(task)
        if run is not None and run.row.tenant == tenant:
            return _result(await asyncio.shield(run.closed))
        row = await self._row(tenant, task)
        if row.status not in FINISHED:
            raise EngineUnavailable(f"task {task} is {row.status} and not under way in this process; recover it first")
        return _result(Closed(row.status, row.result, row.error))

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002 — the port's
        """Deliver a signal once by ``id``; NotFound for an unknown task, InvalidInput for a finished one."""
        if not name or name.startswith(RESERVED):
            raise InvalidInput(f"a signal needs a name that does not begin with {RESERVED!r}")
        await self._deliver(tenant, task, f"{name}~{_id(id)}", value)

    async def query(self, tenant: str, task: str, name: str) -> bytes:
        """Return what the workflow last published under a name; NotFound where it did not."""
        run = self._runs.get(task)
        if run is not None and run.row.tenant == tenant:
            found = run.query(name)
        else:
            row = await self._row(tenant, task)
            journal = await self._parts.reader.journal(tenant, task)
            again = await replayed(self._parts.reader, self._parts.objects, row, self._workflow(row.workflow), journal)
            found = again.kernel.query(name)
            again.kernel.drop()
        if found is None:
            raise NotFound(f"task {task} has published nothing under {name!r}")
        return found

    async def cancel(self, tenant: str, task: str, reason: str) -> None:
        """Throw Cancelled into the workflow; its running steps stop within a second. A finished one stays as it is."""
        try:
            await self._deliver(tenant, task, f"{CANCEL}~1", reason.encode())
        except InvalidInput:
            return

    async def pause(self, tenant: str, task: str, reason: str, id: str) -> None:  # noqa: A002 — the port's
        """Begin no step any more, once by ``id``; see ``Engine.pause``."""
        await self._deliver(tenant, task, f"{PAUSE}~{_id(id)}", reason.encode())

    async def resume(self, tenant: str, task: str, id: str) -> None:  # noqa: A002 — the port's
        """Go on, once by ``id``; see ``Engine.resume``."""
        await self._deliver(tenant, task, f"{RESUME}~{_id(id)}", b"")

    async def history(self, tenant: str, task: str) -> tuple[Outcome, ...]:
        """Return the journal."""
        await self._row(tenant, task)
        return await self._parts.reader.journal(tenant, task)

    async def replay(self, tenant: str, task: str) -> RunResult:
        """Feed the recorded outcomes to today's code, with no side effect; NonDeterminism where it drifts."""
        row = await self._row(tenant, task)
        journal = await self._parts.reader.journal(tenant, task)
        again = await replayed(self._parts.reader, self._parts.objects, row, self._workflow(row.workflow), journal)
        again.kernel.drop()
        if not again.ended:
            return RunResult("running")
        return _result(Closed(row.status, row.result, row.error))

    async def state(self, tenant: str, task: str, at: Point) -> Moment:
        """Return what stood at a point; see ``Engine.state``."""
        row = await self._row(tenant, task)
        return await moment(self._parts.reader, self._parts.objects, row, self._workflow(row.workflow), at)

    async def drain(self, seconds: float) -> None:
        """See ``RecoveringEngine.drain``. Runs that begin later begin no step either, until the next owner."""
        self._draining = True
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(run.drain() for run in list(self._runs.values())))
        except TimeoutError:
            _log.warning("some steps did not end within %g s; they are stopped, and run again later", seconds)

    async def fork(self, tenant: str, new_id: str, parent: str, at: Point, changes: Changes) -> None:
        """Begin a new task with the parent's past up to a point; see ``Engine.fork``."""
        if not new_id:
            raise InvalidInput("a fork needs an id of its own")
        async with self._opening:
            row = await self._parts.reader.task(tenant, new_id)
            if row is None:
                source = await self._row(tenant, parent)
                wish = Wish(source, self._workflow(source.workflow), new_id, at, changes)
                opened = await forked(self._parts, wish)
            elif row.parent_id != parent:
                opened = None
            elif row.id in self._runs or row.status in FINISHED:
                return
            else:
                opened = await resumed(self._parts, row, self._workflow(row.workflow))
            if opened is None:
                raise InvalidInput(f"the id {new_id} is taken by another task; give the fork a new one")
            run = self._launch(opened)
        await asyncio.shield(run.started)

    async def release(self, tenant: str, task: str) -> None:
        """Go on with a quarantined task; see ``Engine.release``."""
        async with self._opening:
            row = await self._row(tenant, task)
            if row.status != "quarantined":
                raise InvalidInput(f"task {task} is {row.status}, not quarantined; there is nothing to release")
            opened = await resumed(self._parts, row, self._workflow(row.workflow), released=True)
            run = self._launch(opened)
        await asyncio.shield(run.started)

    async def close(self) -> None:
        """Stop every run here; their journals stay, to be gone on with."""
        self._open = False
        runs = list(self._runs.values())
        await asyncio.gather(*(run.stop() for run in runs))
        await self._parts.timers.close()

    def _workflow(self, name: str) -> Workflow[Any, Any]:
        found = self._parts.workflows.get(name)
        if found is None:
            known = ", ".join(sorted(self._parts.workflows)) or "none"
            raise InvalidInput(f"no workflow {name!r} is registered in this process; registered: {known}")
        return found

    async def _create(self, tenant: str, task: str, workflow: Workflow[Any, Any], data: bytes) -> TaskRow:
        op = CreateTask(
            tenant=tenant,
            id=task,
            workflow=workflow.name,
            input=data,
            query="",
            user="",
            principal=b"",
            time=self._parts.clock.now(),
        )
        made = cast("TaskCreated", (await self._parts.writer.commit(op))[0])
        row = await self._parts.reader.task(tenant, task)
        if row is None or not made.created:
            raise InvalidInput(f"task id {task} is taken by another tenant")
        return row

    async def _opened(self, row: TaskRow, workflow: Workflow[Any, Any]) -> Opened:
        if row.status == "queued":
            return fresh(self._parts, row, workflow)
        return await resumed(self._parts, row, workflow)

    def _launch(self, opened: Opened) -> Run:
        if not self._open:
            raise EngineUnavailable("the engine is closed")
        run = self._runs[opened.row.id] = Run(self._parts, self._turns, opened, draining=self._draining)
        run.closed.add_done_callback(lambda _: self._runs.pop(opened.row.id, None))
        return run

    async def _row(self, tenant: str, task: str) -> TaskRow:
        row = await self._parts.reader.task(tenant, task)
        if row is None:
            raise NotFound(f"there is no task {task}")
        return row

    async def _deliver(self, tenant: str, task: str, key: str, value: bytes) -> None:
        run = self._runs.get(task)
        if run is not None and run.row.tenant == tenant:
            await run.signal(key, value)
            return
        row = await self._row(tenant, task)
        journal = await self._parts.reader.journal(tenant, task)
        if any(outcome.key == key and outcome.kind == "signal" for outcome in journal):
            return
        if row.status in FINISHED:
            raise InvalidInput(f"task {task} has ended ({row.status}); it takes no more signals")
        raise EngineUnavailable(f"task {task} is {row.status} and not under way in this process; recover it first")


def _id(given: str) -> str:
    """Return an id by which a signal is taken once; InvalidInput where it cannot be one."""
    if not given or "~" in given:
        raise InvalidInput("a signal needs an id, by which it is taken once, without '~'")
    return given


def _result(closed: Closed) -> RunResult:
    if closed.error is not None:
        raise closed.error if isinstance(closed.error, EngineError) else EngineUnavailable(str(closed.error))
    failed = closed.failure or Failure("", "")
    return RunResult(closed.status, closed.value, failed.code, failed.message)
