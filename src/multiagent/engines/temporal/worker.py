"""The workers of one process: one a service it does, each polling that service's task queue."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from multiagent.core.step import Queue
from multiagent.engines.temporal.activities import Activities
from multiagent.engines.temporal.asking import ORCHESTRATOR
from multiagent.engines.temporal.looks import Look
from multiagent.engines.temporal.options import Load, TemporalOptions
from multiagent.engines.temporal.pump import Pump

STICKY: Final = timedelta(seconds=1)
"""How long a workflow task waits for the worker that has its run in memory."""
THROTTLE: Final = timedelta(seconds=0.5)
MOST_STEPS: Final = Load().steps
MOST_TASKS: Final = 100
"""Workflow tasks at once in one process."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much one process takes on: runs kept in memory, and steps at once a service. Those that run when a worker is
    to stop have ``grace_s`` seconds to end.
    """

    cached: int = 1000
    steps: int = MOST_STEPS
    grace_s: float = 0.0


def make_worker(
    client: Client,
    options: TemporalOptions,
    service: Queue,
    activities: Activities,
    *,
    runner: WorkflowRunner | None = None,
    size: Size = Size(),
) -> Worker:
    """Return the worker of a service. The orchestrator's runs the workflows and what the engine stores for them."""
    leads = service == ORCHESTRATOR
    own: list[Callable[..., object]] = []
    if leads:
        own = [activities.flush, activities.finish, activities.give_up, activities.recall]
        looks = activities.looks
        own += [] if looks is None else [looks.look, looks.wait]
    return Worker(
        client,
        task_queue=options.queue(service),
        workflows=[Pump, Look] if leads else [],
        activities=[activities.step, *own],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        unsandboxed_workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_cached_workflows=size.cached if leads else 0,
        max_concurrent_workflow_tasks=MOST_TASKS if leads and size.cached else None,
        max_concurrent_activities=size.steps,
        graceful_shutdown_timeout=timedelta(seconds=size.grace_s),
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_heartbeat_throttle_interval=THROTTLE,
        default_heartbeat_throttle_interval=THROTTLE,
    )
