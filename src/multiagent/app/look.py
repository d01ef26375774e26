"""Reading a home without owning it: from any terminal, also while another process works there."""

from typing import Final

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.app.record import Record, record
from multiagent.core.errors import NotFound
from multiagent.core.events import Event
from multiagent.core.schedule import run_prefix
from multiagent.core.task import TaskStatus
from multiagent.storage.sql.base import TaskRow

MOST_RUNS: Final = 10_000
"""So many of a schedule's newest runs are looked through."""


async def tasks(place: Place, status: TaskStatus | None, before: str, limit: int) -> tuple[TaskRow, ...]:
    """Return tasks, newest first; none where there is no home yet."""
    async with place.reader() as reader:
        return () if reader is None else await reader.tasks(TENANT, status=status, before=before, limit=limit)


async def runs_of(
    place: Place, schedule: str, status: TaskStatus | None, before: str, limit: int
) -> tuple[TaskRow, ...]:
    """Return the tasks that are runs of a schedule, those planned last first; also of one that is deleted."""
    async with place.reader() as reader:
        if reader is None:
            return ()
        keyed = await reader.keyed_tasks(TENANT, run_prefix(schedule), limit=MOST_RUNS)
        fitting = [one.id for one in keyed if status in (None, one.status) and (not before or one.id < before)]
        rows = [await reader.task(TENANT, one) for one in fitting[:limit]]
        return tuple(row for row in rows if row is not None)


async def look(place: Place, task: str) -> Record:
    """Return a task; NotFound where there is none."""
    async with place.reader() as reader:
        if reader is None:
            raise NotFound(f"there is no task {task!r}: {place.home} holds no data yet")
        return await record(reader, TENANT, task)


async def task_events(place: Place, task: str, after: int) -> list[Event]:
    """Return all events of a task with ``seq`` over ``after``; NotFound where there is no such task."""
    async with place.reader() as reader:
        if reader is None or await reader.task(TENANT, task) is None:
            raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
        found: list[Event] = []
        while events := await reader.events(TENANT, task, after):
            found.extend(events)
            after = events[-1].header.seq
        return found
