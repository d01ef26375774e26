"""A task as stored, put together for those who show it."""

import msgspec

from multiagent.core.errors import NotFound
from multiagent.core.events import EventKind
from multiagent.core.facts import MessageCompleted
from multiagent.core.outcome import Failure
from multiagent.core.task import TaskResult, TaskStatus
from multiagent.core.usage import Bill
from multiagent.storage.sql.base import AgentRow, Reader

OFFLINE = "offline"
"""The vendor name of the built-in stand-in model."""


class Record(msgspec.Struct, frozen=True):
    """A task's row, agents, result and bill. ``estimated``: tokens come from our own estimator, not a vendor.
    ``parent`` is the task that it is a fork or a retry of.
    """

    task: str
    status: TaskStatus
    query: str
    mode: str
    created: int
    duration_ms: int | None
    waits_for: str
    result: TaskResult | None
    failure: Failure | None
    bill: Bill
    agents: tuple[AgentRow, ...]
    models: tuple[str, ...]
    estimated: bool
    offline: bool
    parent: str = ""


async def record(reader: Reader, tenant: str, task: str) -> Record:
    """Return what is stored of a task; NotFound where there is none."""
    row = await reader.task(tenant, task)
    if row is None:
        raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
    result = msgspec.json.decode(row.result, type=TaskResult) if row.result else None
    agents = await reader.agents(tenant, task)
    answers = await _answers(reader, tenant, task)
    return Record(
        task=row.id,
        status=row.status,
        query=row.query,
        mode=row.mode,
        created=row.created,
        duration_ms=row.duration_ms,
        waits_for=row.waits_for,
        result=result,
        failure=row.error,
        bill=await reader.bill(tenant, task),
        agents=agents,
        models=tuple(dict.fromkeys(f"{answer.vendor}/{answer.model}" for answer in answers)),
        estimated=any(answer.estimated for answer in answers),
        offline=any(answer.vendor == OFFLINE for answer in answers),
        parent=row.parent_id,
    )


async def _answers(reader: Reader, tenant: str, task: str) -> list[MessageCompleted]:
    found: list[MessageCompleted] = []
    after = 0
    while events := await reader.events(tenant, task, after):
        after = events[-1].header.seq
        found.extend(
            msgspec.json.decode(event.payload, type=MessageCompleted)
            for event in events
            if event.header.kind is EventKind.MESSAGE_COMPLETED and event.payload
        )
    return found
