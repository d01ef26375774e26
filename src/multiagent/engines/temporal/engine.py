"""The engine on Temporal, as its callers see it: the server runs tasks, and what is stored of them is read here.

Status, results, history and state come from our own rows; the server is asked only to begin, to steer, and what is
published just now.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, cast

import msgspec
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError

from multiagent.core.errors import EngineError, EngineUnavailable, InvalidInput, NotFound, StorageError
from multiagent.core.events import TASK_ENDS, EventHeader
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.task import FINISHED
from multiagent.core.travel import Changes, Moment, Point
from multiagent.engines.base import Pending, RunResult, Workflow
from multiagent.engines.ending import released_ops
from multiagent.engines.forking import Wish, forked
from multiagent.engines.kernel import CANCEL, PAUSE, RESERVED, RESUME
from multiagent.engines.moments import moment
from multiagent.engines.past import replayed
from multiagent.engines.temporal.connect import CALL
from multiagent.engines.temporal.ground import Ground
from multiagent.engines.temporal.history import verify
from multiagent.engines.temporal.launching import begin_of, launch, relaunch
from multiagent.engines.temporal.pending import pending_of
from multiagent.engines.temporal.records import FEED, PUBLISHED, Sent, Shown
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import CreateTask, TaskCreated

QUERY: Final = timedelta(seconds=2)
"""How long a worker may take to answer what is published; then the journal answers."""
_FIRST_LOOK_S: Final = 0.05
_LAST_LOOK_S: Final = 1.0
"""How often a row is read that another process may change."""


class TemporalEngine:
    """See ``Engine``. Made by ``engines.factory.open_temporal``."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002 — the port's name
        """Start a workflow, idempotent by id; InvalidInput for an unknown one or an input that does not fit.

        EngineUnavailable where the server is away: the task's row is there then, and the start may be sent again.
        """
        definition = self._ground.workflow(workflow)
        row = await self._ground.reader.task(tenant, task)
        if row is None:
            _check_input(task, definition, input)
            row = await self._create(tenant, task, definition, input)
        if row.status in FINISHED:
            return
        _check_input(task, self._ground.workflow(row.workflow), row.input)
        journal = await self._ground.reader.journal(tenant, task)
        await launch(self._ground.link, row.workflow, begin_of(row, journal[-1].n if journal else 0))

    async def result(self, tenant: str, task: str) -> RunResult:
        """Wait for the end, as our own row tells it; cancelling the wait does not touch the workflow."""
        async with self._news(task) as news:
            pause = _FIRST_LOOK_S
            while (row := await self._ground.row(tenant, task)).status not in FINISHED:
                try:
                    await asyncio.wait_for(news.wait(), pause)
                except TimeoutError:
                    pause = min(_LAST_LOOK_S, pause * 2)
                else:
                    news.clear()
        return _result(row)

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002 — the port's
        """Deliver a signal once by ``id``: the server has it once this returns."""
        if not name or name.startswith(RESERVED):
            raise InvalidInput(f"a signal needs a name that does not begin with {RESERVED!r}")
        await self._deliver(tenant, task, f"{name}~{_id(id)}", value)

    async def query(self, tenant: str, task: str, name: str) -> bytes:
        """Return what the workflow last published under a name; NotFound where it did not."""
        row = await self._ground.row(tenant, task)
        found = None if row.status in FINISHED else await self._asked(task, name)
        if found is None:
            journal = await self._ground.reader.journal(tenant, task)
            workflow = self._ground.workflow(row.workflow)
            again = await replayed(self._ground.reader, self._ground.objects, row, workflow, journal)
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
        await self._ground.row(tenant, task)
        return await self._ground.reader.journal(tenant, task)

    async def replay(self, tenant: str, task: str) -> RunResult:
        """Feed the recorded outcomes to today's code, with no side effect; then the server's history, by its own means.

        NonDeterminism where either drifts or they differ, InvalidInput where the server's is another's, or unreadable.
        """
        row = await self._ground.row(tenant, task)
        journal = await self._ground.reader.journal(tenant, task)
        workflow = self._ground.workflow(row.workflow)
        again = await replayed(self._ground.reader, self._ground.objects, row, workflow, journal)
        again.kernel.drop()
        await verify(self._ground, row, journal)
        return _result(row) if again.ended else RunResult("running")

    async def state(self, tenant: str, task: str, at: Point) -> Moment:
        """Return what stood at a point; see ``Engine.state``."""
        row = await self._ground.row(tenant, task)
        return await moment(self._ground.reader, self._ground.objects, row, self._ground.workflow(row.workflow), at)

    async def fork(self, tenant: str, new_id: str, parent: str, at: Point, changes: Changes) -> None:
        """Begin a new task with the parent's past up to a point; see ``Engine.fork``."""
        if not new_id:
            raise InvalidInput("a fork needs an id of its own")
        reader = self._ground.reader
        row = await reader.task(tenant, new_id)
        if row is None:
            source = await self._ground.row(tenant, parent)
            await self._fork(Wish(source, self._ground.workflow(source.workflow), new_id, at, changes))
            row = await reader.task(tenant, new_id)  # where it was taken meanwhile, it may be this very fork
        if row is None or row.parent_id != parent:
            raise InvalidInput(f"the id {new_id} is taken by another task; give the fork a new one")
        if row.status not in FINISHED:
            journal = await reader.journal(tenant, new_id)
            await launch(self._ground.link, row.workflow, begin_of(row, journal[-1].n if journal else 0))

    async def release(self, tenant: str, task: str) -> None:
        """Go on with a quarantined task; see ``Engine.release``."""
        ground = self._ground
        row = await ground.row(tenant, task)
        if row.status != "quarantined":
            raise InvalidInput(f"task {task} is {row.status}, not quarantined; there is nothing to release")
        journal = await ground.reader.journal(tenant, task)
        again = await replayed(ground.reader, ground.objects, row, ground.workflow(row.workflow), journal)
        paused = again.kernel.paused
        again.kernel.drop()
        await ground.writer.commit(*released_ops(row, len(journal), ground.clock.now(), paused=paused))
        await relaunch(ground.link, ground.reader, row, "released")

    async def pending(self, tenant: str, task: str) -> tuple[Pending, ...]:
        """Return the steps that the server waits for, and whether somebody is there to do them."""
        row = await self._ground.row(tenant, task)
        return () if row.status in FINISHED else await pending_of(self._ground.link, task)

    # --- inside ---

    async def _create(self, tenant: str, task: str, workflow: Workflow[Any, Any], data: bytes) -> TaskRow:
        op = CreateTask(
            tenant=tenant,
            id=task,
            workflow=workflow.name,
            input=data,
            query="",
            user="",
            principal=b"",
            time=self._ground.clock.now(),
        )
        made = cast("TaskCreated", (await self._ground.writer.commit(op))[0])
        row = await self._ground.reader.task(tenant, task)
        if row is None or not made.created:
            raise InvalidInput(f"task id {task} is taken by another tenant")
        return row

    async def _fork(self, wish: Wish) -> None:
        """Write a fork, all of it; nothing where somebody writes one of that id at the same time."""
        try:
            opened = await forked(self._ground, wish)
        except StorageError as error:
            if error.retryable or await self._ground.reader.task(wish.parent.tenant, wish.new_id) is None:
                raise
        else:
            if opened is not None:
                opened.kernel.drop()

    async def _deliver(self, tenant: str, task: str, key: str, value: bytes) -> None:
        async def send(client: Client) -> None:
            await client.get_workflow_handle(task).signal(FEED, Sent(key, value), rpc_timeout=CALL)

        if await self._taken(tenant, task, key):
            return
        try:
            await self._ground.link.call(f"task {task}", send)
        except NotFound:  # it has ended meanwhile, or the server has lost it
            if await self._taken(tenant, task, key):
                return
            raise EngineUnavailable(
                f"task {task} is not under way on the Temporal server; it goes on from what is stored of it soon"
            ) from None

    async def _taken(self, tenant: str, task: str, key: str) -> bool:
        """Whether a finished task has taken a signal; InvalidInput where it has not and never will."""
        row = await self._ground.row(tenant, task)
        if row.status not in FINISHED:
            return False
        journal = await self._ground.reader.journal(tenant, task)
        if any(outcome.key == key and outcome.kind == "signal" for outcome in journal):
            return True
        raise InvalidInput(f"task {task} has ended ({row.status}); it takes no more signals")

    async def _asked(self, task: str, name: str) -> bytes | None:
        """Return what a worker answers; None where it does not."""

        async def ask(client: Client) -> Shown:
            handle = client.get_workflow_handle(task)
            return cast("Shown", await handle.query(PUBLISHED, name, result_type=Shown, rpc_timeout=QUERY))

        try:
            shown = await self._ground.link.call(f"task {task}", ask)
        except (NotFound, EngineError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        return None if shown.value is None else bytes(shown.value)

    @asynccontextmanager
    async def _news(self, task: str) -> AsyncIterator[asyncio.Event]:
        """Set the event when this process has stored the end of a task."""
        news = asyncio.Event()

        def heard(headers: Sequence[EventHeader]) -> None:
            if any(header.task == task and header.kind in TASK_ENDS for header in headers):
                news.set()

        leave = self._ground.writer.on_commit(heard)
        try:
            yield news
        finally:
            leave()


def _check_input(task: str, workflow: Workflow[Any, Any], data: bytes) -> None:
    try:
        msgspec.json.decode(data, type=workflow.input)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the input of task {task} is no {workflow.input.__name__}: {error}") from error


def _id(given: str) -> str:
    """Return an id by which a signal is taken once; InvalidInput where it cannot be one."""
    if not given or "~" in given:
        raise InvalidInput("a signal needs an id, by which it is taken once, without '~'")
    return given


def _result(row: TaskRow) -> RunResult:
    failed = row.error or Failure("", "")
    return RunResult(row.status, row.result, failed.code, failed.message)
