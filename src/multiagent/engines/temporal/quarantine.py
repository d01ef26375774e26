"""Runs whose workflow's code does something else than was recorded: put away by name, while the others go on.

Three places tell: the journal, fed to today's code when a process begins; the worker, whose library compares what the
code asks for with the server's history; and that history itself, where other processes have noted it.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

import msgspec
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure as WireFailure
from temporalio.api.history.v1 import WorkflowTaskFailedEventAttributes
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.bridge.proto.workflow_activation import RemoveFromCache, WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.workflow import _Definition as Definition

from multiagent.core.errors import NonDeterminism, NotFound, PlatformError
from multiagent.engines.ending import quarantine_ops
from multiagent.engines.past import replayed
from multiagent.engines.temporal.connect import CALL, Link
from multiagent.engines.temporal.ground import Ground
from multiagent.engines.temporal.launching import end_run
from multiagent.storage.sql.base import TaskRow

WHY: Final = "quarantined"
QUIET_MS: Final = 60_000
MOST_ASKED: Final = 200
"""How many quiet runs are asked for in one look."""
_LAST_EVENTS: Final = 20
_IDS: Final = re.compile(r"'([^'~]+~[0-9a-f]{8})'")
_log = logging.getLogger("multiagent.engine")


class Drifted:
    """What was seen to drift: told from any thread, taken up one after another by ``run``."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def runner(self) -> WorkflowRunner:
        """Return what a worker runs workflows by, so that it tells of drift."""
        return _Watching(self._tell)

    async def run(self) -> None:
        """Put away what is seen, for ever."""
        while True:
            task, said = await self._seen.get()
            try:
                await self._put_away_by(task, said)
            except PlatformError as error:  # it is seen again at the workflow's next try
                _log.warning("task %s drifts, and could not be put away yet: %s", task, error)

    async def look_back(self) -> tuple[str, ...]:
        """Feed what is stored of every open run to today's code; put away what drifts, and return those tasks' ids."""
        found = []
        for row in await self._ground.reader.unfinished():
            if row.status == "queued" or row.workflow not in self._ground.workflows:
                continue
            drift = await self._drift(row)
            if drift is not None:
                await self._put_away(row, drift)
                found.append(row.id)
        return tuple(found)

    async def scan(self, quiet_ms: int = QUIET_MS) -> tuple[str, ...]:
        """Ask the server why runs do not go on that nothing was heard of for so long; put away what drifts there, and
        return those tasks' ids. Whoever saw it first may have died before it could tell.
        """
        before = self._ground.clock.now() - quiet_ms
        rows = [row for row in await self._ground.reader.unfinished() if row.status == "running"]
        found = []
        for row in [row for row in rows if row.updated <= before][:MOST_ASKED]:
            said = await failed_task(self._ground.link, row.id)
            if said is not None:
                await self._put_away(row, await self._drift(row) or told_by(said))
                found.append(row.id)
        return tuple(found)

    def _tell(self, task: str, said: str) -> None:
        self._loop.call_soon_threadsafe(self._seen.put_nowait, (task, said))

    async def _put_away_by(self, task: str, said: str) -> None:
        for row in await self._ground.reader.unfinished():
            if row.id == task:
                await self._put_away(row, await self._drift(row) or told_by(said))

    async def _drift(self, row: TaskRow) -> NonDeterminism | None:
        ground = self._ground
        journal = await ground.reader.journal(row.tenant, row.id)
        try:
            again = await replayed(ground.reader, ground.objects, row, ground.workflow(row.workflow), journal)
        except NonDeterminism as drift:
            return drift
        again.kernel.drop()
        return None

    async def _put_away(self, row: TaskRow, drift: NonDeterminism) -> None:
        """End the run on the server, since it must not go on by itself under code that fits again; then note it.

        Where only the first is done, the run is begun again, and put away again.
        """
        await end_run(self._ground.link, row.id, WHY)
        await self._ground.writer.commit(*quarantine_ops(row, drift, self._ground.clock.now()))
        _log.error("task %s is quarantined: %s", row.id, drift)


def told_by(said: str) -> NonDeterminism:
    """Return the error of a drift that a worker has told of; Temporal's library names what was recorded and found."""
    ids = _IDS.findall(said)
    if len(ids) < 2:
        return NonDeterminism(said or "the workflow does something else than the server's history says")
    recorded, found = ids[0], ids[-1]
    return NonDeterminism(
        f"the server's history has step {recorded}, and the workflow's code asks for {found} in its place",
        details={"step": recorded, "recorded": recorded, "found": found},
    )


async def failed_task(link: Link, task: str) -> str | None:
    """Return what a run's last workflow task failed with, where that was drift; None for others and unknown tasks."""

    async def ask(client: Client) -> str | None:
        described = await client.get_workflow_handle(task).describe(rpc_timeout=CALL)
        if described.raw_description.pending_workflow_task.attempt < 2:
            return None
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(workflow_id=task, run_id=described.run_id),
            maximum_page_size=_LAST_EVENTS,
        )
        page = await client.workflow_service.get_workflow_execution_history_reverse(request, retry=True, timeout=CALL)
        for event in page.history.events:
            failed = event.workflow_task_failed_event_attributes
            if event.HasField("workflow_task_failed_event_attributes") and _is_drift(failed):
                return str(await link.converter.decode_failure(failed.failure))
        return None

    try:
        return await link.call(f"task {task}", ask)
    except NotFound:
        return None


def _is_drift(failed: WorkflowTaskFailedEventAttributes) -> bool:
    """Whether the library has found it, or the pump."""
    cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
    return failed.cause == cause or failed.failure.application_failure_info.type == NonDeterminism.__name__


class _Watching(WorkflowRunner):
    """Runs workflows plainly, and tells of each whose code drifts."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._plain = UnsandboxedWorkflowRunner()
        self._tell = tell

    def prepare_workflow(self, defn: Definition) -> None:
        self._plain.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = self._plain.create_instance(det)
        plainly, task = instance.activate, det.info.workflow_id

        def activate(act: WorkflowActivation) -> WorkflowActivationCompletion:
            for job in act.jobs:
                if job.remove_from_cache.reason == RemoveFromCache.NONDETERMINISM:
                    self._tell(task, job.remove_from_cache.message)
            completion = plainly(act)
            failure = completion.failed.failure
            if failure.application_failure_info.type == NonDeterminism.__name__:
                self._tell(task, message_of(failure))
            return completion

        instance.activate = activate  # type: ignore[method-assign]  # it has no other seam
        return instance


def message_of(failure: WireFailure) -> str:
    """Return a failure's text where it is not encrypted yet."""
    try:
        return msgspec.json.decode(failure.encoded_attributes.data, type=_Hidden).message
    except msgspec.MsgspecError:
        return failure.message


class _Hidden(msgspec.Struct):
    message: str = ""
