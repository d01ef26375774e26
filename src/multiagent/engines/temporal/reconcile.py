"""What our rows say compared with what the server has: runs it has lost begin again, runs ended there end here."""

import logging
from typing import Final

import msgspec
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowHistoryEventFilterType

from multiagent.core.errors import EngineError, NotFound, PlatformError
from multiagent.core.outcome import Failure, failure
from multiagent.engines.ending import Closed, ending_ops
from multiagent.engines.temporal.connect import CALL
from multiagent.engines.temporal.faults import from_temporal
from multiagent.engines.temporal.ground import Ground
from multiagent.engines.temporal.launching import OURS, relaunch
from multiagent.storage.sql.base import TaskRow

QUIET_MS: Final = 10_000
"""A row that was written so short a time ago is left alone: what leads to it may be on its way still."""
_UNDER_WAY: Final = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)
_log = logging.getLogger("multiagent.engine")


class Found(msgspec.Struct, frozen=True):
    """What the server has of a task: whether it runs, and how somebody has ended it there, where somebody has."""

    running: bool = False
    ended: Closed | None = None


class Reconciler:
    """Looks at every open task; ``once`` is called from time to time on the orchestrator."""

    def __init__(self, ground: Ground, quiet_ms: int = QUIET_MS) -> None:
        self._ground = ground
        self._quiet = quiet_ms

    async def once(self) -> tuple[str, ...]:
        """Compare; return the ids of the tasks that something was done for.

        Raises EngineUnavailable or StorageUnavailable where there is nothing to compare with now.
        """
        running = await self._running()
        mended = []
        for row in await self._ground.reader.unfinished():
            if row.id in running or row.updated > self._ground.clock.now() - self._quiet:
                continue
            try:
                if await self._mend(row):
                    mended.append(row.id)
            except PlatformError as error:  # its own trouble; the others are looked at
                if error.retryable:
                    raise
                _log.warning("task %s could not be compared with the server: %s", row.id, error)
        return tuple(mended)

    async def _running(self) -> frozenset[str]:
        """Return the tasks that the server lists as running: the list may lag, so the others are asked for by name."""

        async def ask(client: Client) -> frozenset[str]:
            listed = client.list_workflows("ExecutionStatus = 'Running'", page_size=1000, rpc_timeout=CALL)
            return frozenset([one.id async for one in listed])

        return await self._ground.link.call("the list of runs", ask)

    async def _mend(self, row: TaskRow) -> bool:
        found = await self._found(row)
        if found.running or row.workflow not in self._ground.workflows:
            return False
        now = await self._ground.row(row.tenant, row.id)
        if now.updated != row.updated or now.status != row.status:
            return False
        if found.ended is None:
            _log.warning("task %s was lost by the server; it goes on from its journal", row.id)
            await relaunch(self._ground.link, self._ground.reader, row, "gone on with")
            return True
        _log.warning("task %s was ended on the server (%s); so it is here", row.id, found.ended.status)
        bill = await self._ground.reader.bill(row.tenant, row.id)
        await self._ground.writer.commit(*ending_ops(row, found.ended, bill, self._ground.clock.now(), said=False))
        return True

    async def _found(self, row: TaskRow) -> Found:
        async def ask(client: Client) -> Found:
            handle = client.get_workflow_handle(row.id)
            status = (await handle.describe(rpc_timeout=CALL)).status
            if status in _UNDER_WAY:
                return Found(running=True)
            return Found(ended=await self._ended(await _last_event(handle)))

        try:
            return await self._ground.link.call(f"task {row.id}", ask)
        except NotFound:
            return Found()

    async def _ended(self, last: HistoryEvent | None) -> Closed | None:
        """Return how somebody has ended a run, from the last event of its history; None where it was the platform."""
        if last is None:
            return None
        if last.HasField("workflow_execution_terminated_event_attributes"):
            reason = last.workflow_execution_terminated_event_attributes.reason
            if reason.startswith(OURS):
                return None
            text = f"the run was terminated on the Temporal server: {reason or 'no reason given'}"
            return Closed("failed", failure=failure(EngineError(text)))
        if last.HasField("workflow_execution_failed_event_attributes"):
            wire = last.workflow_execution_failed_event_attributes.failure
            error = await self._ground.link.converter.decode_failure(wire)
            return Closed("failed", failure=from_temporal(error))
        if last.HasField("workflow_execution_canceled_event_attributes"):
            return Closed("cancelled", failure=Failure("CANCELLED", "cancelled on the server"))
        text = "the run has ended on the Temporal server without its end being stored"
        return Closed("failed", failure=failure(EngineError(text)))


async def _last_event(handle: "WorkflowHandle[object, object]") -> HistoryEvent | None:
    last = None
    async for event in handle.fetch_history_events(
        event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT, rpc_timeout=CALL
    ):
        last = event
    return last
