"""What is written when a run is held, ends, or must not go on: the same on every engine."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from multiagent.core.errors import NonDeterminism
from multiagent.core.events import EventDraft, EventKind
from multiagent.core.facts import TaskEnded, TaskPaused, TaskQuarantined, TaskReleased, TaskResumed
from multiagent.core.outcome import Failure, failure
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Bill
from multiagent.engines.actions import Complete, Fail
from multiagent.engines.kernel import PAUSE, RESUME, Kernel, encode
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import AppendEvent, Op, UpdateTask
from multiagent.storage.sql.travel import ReleaseTask


class Closed(msgspec.Struct, frozen=True):
    """How a run left its process: ``error`` where it did not end but stopped."""

    status: str
    value: bytes = b""
    failure: Failure | None = None
    error: Exception | None = None


class Whose(Protocol):
    """The task that something is written for; a ``TaskRow`` is one."""

    @property
    def tenant(self) -> str:
        """Its tenant."""
        ...

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def created(self) -> int:
        """When it was accepted, in milliseconds UTC."""
        ...


class Held(msgspec.Struct, frozen=True):
    """What a signal that holds a run, or lets it go on, is told with, and the status it leads to."""

    event: EventDraft
    status: TaskStatus


def closing(ending: Complete | Fail) -> Closed:
    """Return a run's end as the task's status."""
    if isinstance(ending, Complete):
        return Closed("completed", ending.value)
    return Closed("cancelled" if ending.failure.code == "CANCELLED" else "failed", failure=ending.failure)


def closed_by(status: str, value: bytes) -> Closed:
    """Return how a run ended, from the last row of its journal."""
    if status == "completed":
        return Closed(status, value)
    return Closed(status, failure=msgspec.json.decode(value, type=Failure))


def ending_ops(whose: Whose, closed: Closed, bill: Bill, now: int, *, said: bool) -> Sequence[Op]:
    """Return the operations that end a task; ``said``: its workflow has emitted the last event itself."""
    update = UpdateTask(
        tenant=whose.tenant,
        id=whose.id,
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
        duration_ms=now - whose.created,
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
        elapsed_ms=now - whose.created,
        code="" if closed.failure is None else closed.failure.code,
        message="" if closed.failure is None else closed.failure.message,
    )
    return update, engine_event(whose, "ended", kinds.get(closed.status, EventKind.TASK_FAILED), fact, now)


def held_by(kernel: Kernel, key: str, carried: bytes, now: int) -> Held | None:
    """Return what is told before a signal that holds a run, or lets it go on; None for other signals."""
    name, _, given = key.rpartition("~")
    if name == PAUSE and kernel.may_pause:
        fact = TaskPaused(carried.decode("utf-8", "replace"))
        return Held(engine_draft(f"paused/{given}", EventKind.TASK_PAUSED, fact, now), "paused")
    if name == RESUME and kernel.paused:
        return Held(engine_draft(f"resumed/{given}", EventKind.TASK_RESUMED, TaskResumed(), now), "running")
    return None


def quarantine_ops(row: TaskRow, drift: NonDeterminism, now: int) -> list[Op]:
    """Return the operations that put a task away whose code no longer does what its journal says."""
    fact = TaskQuarantined(drift.code, drift.message)
    return [
        UpdateTask(tenant=row.tenant, id=row.id, time=now, status="quarantined", error=failure(drift)),
        engine_event(row, f"quarantined/{row.updated}", EventKind.TASK_QUARANTINED, fact, now),
    ]


def released_ops(row: TaskRow, rows: int, now: int, *, paused: bool) -> list[Op]:
    """Return the operations that let a quarantined task go on after so many rows."""
    fact = TaskReleased(rows)
    return [
        ReleaseTask(tenant=row.tenant, id=row.id, time=now),
        UpdateTask(tenant=row.tenant, id=row.id, time=now, status="paused" if paused else "running", waits_for=""),
        engine_event(row, f"released/{row.updated}", EventKind.TASK_RELEASED, fact, now),
    ]


def engine_draft(name: str, kind: EventKind, fact: msgspec.Struct, now: int) -> EventDraft:
    """Return an event of the engine's own, keyed ``engine/<name>``."""
    return EventDraft(f"engine/{name}", kind, encode(fact), now)


def engine_event(whose: Whose, name: str, kind: EventKind, fact: msgspec.Struct, now: int) -> AppendEvent:
    """Return the operation that appends an event of the engine's own, keyed ``engine/<name>``."""
    return AppendEvent(tenant=whose.tenant, task=whose.id, event=engine_draft(name, kind, fact, now))
