"""Runs made ready to go on: new ones begun, stored ones replayed up to their journal's last row."""

from functools import partial
from typing import Any

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.events import EventKind
from multiagent.core.facts import TaskRecovered
from multiagent.core.task import TaskStatus
from multiagent.engines.base import Workflow
from multiagent.engines.context import begin
from multiagent.engines.embedded.records import Parts
from multiagent.engines.ending import engine_event, released_ops
from multiagent.engines.opened import Opened
from multiagent.engines.past import replayed, signature
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import Op, UpdateTask


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
    paused, rows = again.kernel.paused, len(journal)
    ops = released_ops if released else partial(_recovered_ops, parts.owner)
    return Opened(
        row,
        again.kernel,
        again.tail,
        signature(row),
        fresh=False,
        outcomes=journal[-1].n if journal else 0,
        time=journal[-1].time if journal else row.began,
        signals=tuple(one.key for one in journal if one.kind == "signal"),
        ops=tuple(ops(row, rows, now, paused=paused)),
    )


def _recovered_ops(owner: str, row: TaskRow, rows: int, now: int, *, paused: bool) -> list[Op]:
    status: TaskStatus = "paused" if paused else "running"
    return [
        UpdateTask(tenant=row.tenant, id=row.id, time=now, status=status, waits_for=""),
        engine_event(row, f"recovered/{owner}", EventKind.TASK_RECOVERED, TaskRecovered(rows), now),
    ]
