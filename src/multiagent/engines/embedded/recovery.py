"""Runs made ready to go on: new ones begun, stored ones replayed up to their journal's last row."""

from typing import Any

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.events import EventKind
from multiagent.core.facts import TaskRecovered, TaskReleased
from multiagent.core.task import TaskStatus
from multiagent.engines.base import Workflow
from multiagent.engines.context import begin
from multiagent.engines.embedded.records import Parts
from multiagent.engines.ending import engine_event
from multiagent.engines.opened import Opened
from multiagent.engines.past import replayed, signature
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import Op, UpdateTask
from multiagent.storage.sql.travel import ReleaseTask


def fresh(parts: Parts, row: TaskRow, workflow: Workflow[Any, Any]) -> Opened:
    """Begin a new run; InvalidInput where its input does not fit."""
    try:
        kernel = begin(workflow, row.id, row.input, row.created)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the input of task {row.id} is no {workflow.input.__name__}: {error}") from error
    now = parts.clock.now()
    running = UpdateTask(tenant=row.tenant, id=row.id, time=now, status="running")
    return Opened(row, kernel, kernel.take(), signature(row), fresh=True, time=row.created, ops=(running,))


async def resumed(parts: Parts, row: TaskRow, workflow: Workflow[Any, Any], *, released: bool = False) -> Opened:
    """Bring a stored run up to its last row; NonDeterminism where today's code does something else. ``released``: it
    was quarantined, and its first transaction lets it go.
    """
    journal = await parts.reader.journal(row.tenant, row.id)
    again = await replayed(parts.reader, parts.objects, row, workflow, journal)
    now = parts.clock.now()
    status: TaskStatus = "paused" if again.kernel.paused else "running"
    if released:
        told = engine_event(row, f"released/{row.updated}", EventKind.TASK_RELEASED, TaskReleased(len(journal)), now)
    else:
        told = engine_event(row, f"recovered/{parts.owner}", EventKind.TASK_RECOVERED, TaskRecovered(len(journal)), now)
    ops: tuple[Op, ...] = (
        UpdateTask(tenant=row.tenant, id=row.id, time=now, status=status, waits_for=""),
        told,
    )
    if released:
        ops = (ReleaseTask(tenant=row.tenant, id=row.id, time=now), *ops)
    return Opened(
        row,
        again.kernel,
        again.tail,
        signature(row),
        fresh=False,
        outcomes=journal[-1].n if journal else 0,
        time=journal[-1].time if journal else row.began,
        signals=tuple(one.key for one in journal if one.kind == "signal"),
        ops=ops,
    )
