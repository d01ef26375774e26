"""What is written when a run ends, or must not go on."""

from collections.abc import Sequence

import msgspec

from multiagent.core.errors import NonDeterminism
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.facts import TaskEnded, TaskPaused, TaskQuarantined, TaskResumed
from multiagent.core.outcome import failure
from multiagent.core.usage import Bill
from multiagent.engines.actions import Complete, Fail
from multiagent.engines.embedded.records import Arrived, Closed
from multiagent.engines.kernel import PAUSE, RESUME, Kernel, encode
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import AppendEvent, Op, UpdateTask


def closing(ending: Complete | Fail) -> Closed:
    """Return a run's end as the task's status."""
    if isinstance(ending, Complete):
        return Closed("completed", ending.value)
    return Closed("cancelled" if ending.failure.code == "CANCELLED" else "failed", failure=ending.failure)


def ending_ops(row: TaskRow, closed: Closed, bill: Bill, now: int, *, said: bool) -> Sequence[Op]:
    """Return the operations that end a task; ``said``: its workflow has emitted the last event itself."""
    update = UpdateTask(
        tenant=row.tenant,
        id=row.id,
        time=now,
        status="completed"
        if closed.status == "completed"
        else "cancelled"
        if closed.status == "cancelled"
        else "failed",
        result=closed.value or None,
        error=closed.failure,
        usage=bill.usage,
        cost_pico=bill.cost_pico,
        duration_ms=now - row.created,
        waits_for="",
    )
    if said:
        return (update,)
    kinds = {"completed": EventKind.TASK_COMPLETED, "cancelled": EventKind.TASK_CANCELLED}
    fact = TaskEnded(
        tokens=bill.usage.total,
        cost_pico=bill.cost_pico,
        saved_pico=bill.saved_pico,
        model_calls=bill.model_calls,
        tool_calls=bill.tool_calls,
        elapsed_ms=now - row.created,
        code="" if closed.failure is None else closed.failure.code,
        message="" if closed.failure is None else closed.failure.message,
    )
    return update, engine_event(row, "ended", kinds.get(closed.status, EventKind.TASK_FAILED), fact, now)


def holding_ops(row: TaskRow, kernel: Kernel, arrived: Arrived, now: int) -> Sequence[Op]:
    """Return what is written before a signal that holds a run, or lets it go on; nothing for other signals."""
    name, _, given = arrived.key.rpartition("~")
    if name == PAUSE and kernel.may_pause:
        fact = TaskPaused(arrived.carried.decode("utf-8", "replace"))
        event = engine_event(row, f"paused/{given}", EventKind.TASK_PAUSED, fact, now)
        return event, UpdateTask(tenant=row.tenant, id=row.id, time=now, status="paused")
    if name == RESUME and kernel.paused:
        event = engine_event(row, f"resumed/{given}", EventKind.TASK_RESUMED, TaskResumed(), now)
        return event, UpdateTask(tenant=row.tenant, id=row.id, time=now, status="running")
    return ()


def quarantine_ops(row: TaskRow, drift: NonDeterminism, now: int) -> list[Op]:
    """Return the operations that put a task away whose code no longer does what its journal says."""
    fact = TaskQuarantined(drift.code, drift.message)
    return [
        UpdateTask(tenant=row.tenant, id=row.id, time=now, status="quarantined", error=failure(drift)),
        engine_event(row, f"quarantined/{row.updated}", EventKind.TASK_QUARANTINED, fact, now),
    ]


def engine_event(row: TaskRow, name: str, kind: EventKind, fact: msgspec.Struct, now: int) -> AppendEvent:
    """Return the operation that appends an event of the engine's own, keyed ``engine/<name>``."""
    return AppendEvent(tenant=row.tenant, task=row.id, event=EventDraft(f"engine/{name}", kind, encode(fact), now))
