"""What a run asks of Temporal, and with which limits: steps on the queues of their services, and what the engine itself
needs done for it.
"""

from datetime import timedelta
from typing import Final, Protocol

import msgspec
from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

from multiagent.core.errors import NonDeterminism
from multiagent.engines.actions import RunStep
from multiagent.engines.temporal.faults import START_TO_CLOSE, from_temporal
from multiagent.engines.temporal.records import Begin, Riders, StepCall

GRACE: Final = timedelta(seconds=60)
"""How long after its deadline a step is given up whose worker is alive and does not end it."""
HEARTBEAT: Final = timedelta(seconds=5)
"""A worker that has not been heard of for so long is lost."""
STORING: Final = timedelta(seconds=15)
"""How long one attempt to store facts may take; it is tried again for ever."""
RECALLING: Final = timedelta(seconds=60)
_STEPS: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=5),
    maximum_attempts=0,
    non_retryable_error_types=[START_TO_CLOSE],
)
_OURS: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5), maximum_attempts=0
)
ORCHESTRATOR: Final = "orchestrator"


class Handle(Protocol):
    """An activity under way, as far as it matters here."""

    def cancel(self) -> bool:
        """Ask it to stop."""
        ...


def ask_step(begin: Begin, action: RunStep, cause: str, riders: Riders) -> workflow.ActivityHandle[RawValue]:
    """Ask for a step; facts ride with it."""
    definition = action.definition
    queues = workflow.info().task_queue.removesuffix(f"-{ORCHESTRATOR}")
    call = StepCall(
        begin.tenant, begin.task, action.key, msgspec.Raw(action.payload), action.input_hash, begin.principal,
        begin.on_behalf_of, cause, begin.forked_from, riders,
    )  # fmt: skip
    return workflow.start_activity(
        definition.name,
        call,
        activity_id=action.id,
        task_queue=f"{queues}-{definition.queue}",
        result_type=RawValue,
        start_to_close_timeout=timedelta(seconds=definition.policy.deadline) + GRACE,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_STEPS,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def ask_ours(name: str, call: msgspec.Struct, activity: str, limit: timedelta) -> workflow.ActivityHandle[RawValue]:
    """Ask for something of the engine's own, under an activity id; it is tried again until it is done."""
    return workflow.start_activity(
        name,
        call,
        activity_id=activity,
        task_queue=workflow.info().task_queue,
        result_type=RawValue,
        start_to_close_timeout=limit,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_OURS,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def now_ms() -> int:
    """Return the time of what the run takes now, in milliseconds UTC."""
    return int(workflow.time() * 1000)


def broken_by(error: BaseException | None) -> Exception:
    """Return what an activity of our own that failed for good makes of its run."""
    if error is None:
        return ApplicationError("an activity of the engine was cancelled", type="ENGINE_FAILED", non_retryable=True)
    failure = from_temporal(error)
    if failure.code == NonDeterminism.code:
        return NonDeterminism(failure.message, details=failure.details)
    return ApplicationError(failure.message, type=failure.code, non_retryable=True)
