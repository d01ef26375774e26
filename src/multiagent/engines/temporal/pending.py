"""What the server waits for: steps that somebody does, and steps that nobody has taken yet."""

import time
from collections.abc import Sequence
from typing import Final

from temporalio.api.enums.v1 import PendingActivityState, TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from multiagent.core.errors import NotFound
from multiagent.core.step import Queue
from multiagent.engines.base import Pending
from multiagent.engines.temporal.connect import CALL, Link

_ACTIVITIES: Final = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
_SERVED: Final[dict[Queue, TaskQueueType.ValueType]] = {
    "orchestrator": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "agent": _ACTIVITIES,
    "llm": _ACTIVITIES,
    "ledger": _ACTIVITIES,
}
_FRESH_S: Final = 70
"""A worker that is there asks again within a minute."""


async def pending_of(link: Link, task: str) -> tuple[Pending, ...]:
    """Return the steps of a task that the server waits for, in the order asked; nothing for one it does not know."""

    async def ask(client: Client) -> tuple[Pending, ...]:
        description = await client.get_workflow_handle(task).describe(rpc_timeout=CALL)
        asked = description.raw_description.pending_activities
        workers: dict[str, int] = {}
        for one in asked:
            queue = one.activity_options.task_queue.name
            if queue not in workers:
                workers[queue] = await _workers(client, queue)
        return tuple(_pending(one, workers) for one in asked)

    try:
        return await link.call(f"task {task}", ask)
    except NotFound:
        return ()


async def polled(link: Link, services: Sequence[Queue]) -> tuple[int, ...]:
    """Return how many workers poll the queue of each service, an orchestrator's for the workflows."""

    async def ask(client: Client) -> tuple[int, ...]:
        return tuple([await _workers(client, link.options.queue(one), _SERVED[one]) for one in services])

    return await link.call("the task queues", ask)


def _pending(one: PendingActivityInfo, workers: dict[str, int]) -> Pending:
    running = one.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    queue = one.activity_options.task_queue.name
    since = one.last_started_time if running else one.scheduled_time
    return Pending(
        one.activity_id.rpartition("~")[0] or one.activity_id,
        one.activity_type.name,
        queue,
        running,
        since.ToMilliseconds(),
        one.attempt,
        workers[queue],
    )


async def _workers(client: Client, queue: str, kind: TaskQueueType.ValueType = _ACTIVITIES) -> int:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
        task_queue_type=kind,
    )
    found = await client.workflow_service.describe_task_queue(request, retry=True, timeout=CALL)
    now = time.time()
    return sum(now - one.last_access_time.seconds < _FRESH_S for one in found.pollers)
