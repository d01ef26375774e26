"""Reading a home without owning it: from any terminal, also while another process works there."""

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.app.record import Record, record
from multiagent.core.errors import NotFound
from multiagent.core.events import Event
from multiagent.core.task import TaskStatus
from multiagent.storage.sql.base import TaskRow


async def tasks(place: Place, status: TaskStatus | None, before: str, limit: int) -> tuple[TaskRow, ...]:
    """Return tasks, newest first; none where there is no home yet."""
    async with place.reader() as reader:
        return () if reader is None else await reader.tasks(TENANT, status=status, before=before, limit=limit)


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
