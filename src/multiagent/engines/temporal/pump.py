"""The one Temporal workflow there is: glue between the server and a run. Its type is the name of our workflow."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from multiagent.core.errors import EngineUnavailable, NonDeterminism
from multiagent.core.outcome import failure
from multiagent.engines.ending import Closed
from multiagent.engines.kernel import CANCEL
from multiagent.engines.temporal.converter import raw, read
from multiagent.engines.temporal.faults import to_temporal
from multiagent.engines.temporal.inbox import Arrived, Inbox
from multiagent.engines.temporal.records import FEED, PUBLISHED, Begin, Sent, Shown
from multiagent.engines.temporal.run import Run

CANCELLED: Final = f"{CANCEL}~1"
"""The key of the outcome that Temporal's own cancel becomes."""
_log = logging.getLogger("multiagent.engine")


@workflow.defn(dynamic=True, sandboxed=False)
class Pump:
    """See the module. It fails a workflow task, and so waits for other code, only by NonDeterminism and where this
    process lacks the workflow; whatever else goes wrong in it ends the workflow.
    """

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._run: Run | None = None

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> RawValue:
        """Run a task from its beginning to its end."""
        begin = read(args[0], Begin)
        end = await self._to_the_end(asyncio.create_task(self._drive(begin)))
        if isinstance(end, Begin):
            workflow.continue_as_new(raw(end))
        if end.failure is None:
            return raw(None)
        if end.status == "cancelled":
            raise asyncio.CancelledError(end.failure.message)
        raise to_temporal(end.failure)

    @workflow.signal(name=FEED)
    def feed(self, sent: Sent) -> None:
        """Take a signal, also before the run has begun."""
        self._inbox.push(Arrived("signal", sent.key, carried=sent.value))

    @workflow.query(name=PUBLISHED)
    def published(self, name: str) -> Shown:
        """Answer what was published under a name."""
        found = None if self._run is None else self._run.published(name)
        return Shown(None if found is None else msgspec.Raw(found))

    async def _to_the_end(self, driving: "asyncio.Task[Closed | Begin]") -> Closed | Begin:
        """Wait for the end; Temporal's cancel is fed like any other signal, and its effects are waited for."""
        while True:
            try:
                return await asyncio.shield(driving)
            except asyncio.CancelledError:
                if driving.cancelling() or driving.done() or workflow.cancellation_reason() is None:
                    raise
                reason = (workflow.cancellation_reason() or "").encode()
                self._inbox.push(Arrived("signal", CANCELLED, carried=reason))

    async def _drive(self, begin: Begin) -> Closed | Begin:
        self._run = Run(begin, self._inbox)
        try:
            return await self._run.drive()
        except (NonDeterminism, EngineUnavailable, ApplicationError):
            raise
        except Exception as error:
            if not workflow.unsafe.is_replaying():
                _log.error("task %s breaks: %s", begin.task, type(error).__name__, exc_info=error)
            raise to_temporal(failure(error)) from error
        finally:
            self._run.drop()
