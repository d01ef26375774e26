"""What is kept of schedules, on either engine: read by any process, changed under its revision."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput, NotFound, StorageCorrupt
from multiagent.core.schedule import Schedule, State, planned_of, run_prefix
from multiagent.engines.schedules.base import ScheduledRun, Shown
from multiagent.engines.schedules.times import upcoming
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.schedules import DropSchedule, PutSchedule, ScheduleRow

T = TypeVar("T")
NEXT: Final = 5
"""How many of its next times are shown of a schedule."""
MOST_OPEN: Final = 1_000


class Kept(msgspec.Struct, frozen=True):
    """A schedule as it is kept."""

    tenant: str
    schedule: Schedule
    state: State
    revision: int
    created: int
    updated: int


Edit = Callable[[Schedule, State], tuple[Schedule, State]]


class Book:
    """Schedules, kept in storage."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    def now(self) -> int:
        """Milliseconds UTC."""
        return self._clock.now()

    async def all(self) -> tuple[Kept, ...]:
        """Return every schedule of every tenant."""
        return await all_kept(self._reader)

    async def find(self, tenant: str, schedule: str) -> Kept | None:
        """Return a schedule; None where there is none of that name."""
        return await found(self._reader, tenant, schedule)

    async def add(self, tenant: str, schedule: Schedule, state: State) -> None:
        """Keep a new schedule; nothing where the same command kept it before. InvalidInput where its name is taken."""
        if await self._put(Kept(tenant, schedule, state, 0, 0, 0)):
            return
        there = await self.find(tenant, schedule.id)
        if there is None or there.state.made_by != state.made_by:
            raise InvalidInput(f"there is a schedule {schedule.id!r} already; choose another name, or update that one")

    async def change(self, tenant: str, schedule: str, edit: Edit) -> Kept:
        """Change a schedule, whoever else does at the same time; NotFound where there is none."""
        while True:
            there = await self.find(tenant, schedule)
            if there is None:
                raise unknown(schedule)
            definition, state = edit(there.schedule, there.state)
            if (definition, state) == (there.schedule, there.state):
                return there
            made = msgspec.structs.replace(there, schedule=definition, state=state)
            if await self._put(made):
                return msgspec.structs.replace(made, revision=there.revision + 1)

    async def drop(self, tenant: str, schedule: str) -> bool:
        """Forget a schedule; return whether there was one."""
        (there,) = await self._writer.commit(DropSchedule(tenant=tenant, id=schedule))
        return bool(there)

    async def advance(self, there: Kept, state: State) -> Kept | None:
        """Say what stands decided now; None where somebody else has changed the schedule meanwhile."""
        if state == there.state:
            return there
        made = msgspec.structs.replace(there, state=state)
        return msgspec.structs.replace(made, revision=there.revision + 1) if await self._put(made) else None

    async def under_way(self, tenant: str, schedule: str) -> tuple[ScheduledRun, ...]:
        """Return the runs of a schedule that are not at their end."""
        return await runs(self._reader, tenant, schedule, MOST_OPEN, under_way=True)

    async def _put(self, made: Kept) -> bool:
        encode = msgspec.json.encode
        op = PutSchedule(
            tenant=made.tenant, id=made.schedule.id, definition=encode(made.schedule), state=encode(made.state),
            was=made.revision, time=self._clock.now(),
        )  # fmt: skip
        return bool((await self._writer.commit(op))[0])


async def all_kept(reader: Reader) -> tuple[Kept, ...]:
    """Return every schedule of every tenant."""
    return tuple(kept(row) for row in await reader.schedules())


async def found(reader: Reader, tenant: str, schedule: str) -> Kept | None:
    """Return a schedule; None where there is none of that name."""
    rows = await reader.schedules(tenant, schedule)
    return kept(rows[0]) if rows else None


async def shown(reader: Reader, there: Kept, now: int, limit: int) -> Shown:
    """Return a schedule with its next times and, newest first, so many of its runs."""
    made = await runs(reader, there.tenant, there.schedule.id, limit)
    next_times = upcoming(there.schedule, max(now, there.state.seen), NEXT)
    return Shown(there.schedule, there.state, there.created, there.updated, next_times, made)


async def runs(
    reader: Reader, tenant: str, schedule: str, limit: int, *, under_way: bool = False
) -> tuple[ScheduledRun, ...]:
    """Return the runs of a schedule, those planned last first; ``under_way``: only those not at their end."""
    prefix = run_prefix(schedule)
    tasks = await reader.keyed_tasks(tenant, prefix, under_way=under_way, limit=limit)
    return tuple(ScheduledRun(planned_of(one.key), one.id, one.status, one.cost_pico, one.tokens) for one in tasks)


def kept(row: ScheduleRow) -> Kept:
    """Return a schedule from its row; StorageCorrupt where it cannot be read."""
    return Kept(
        row.tenant, _read(row, row.definition, Schedule), _read(row, row.state, State), row.revision, row.created,
        row.updated,
    )  # fmt: skip


def unknown(schedule: str) -> NotFound:
    """Return the error for a schedule that is not there."""
    return NotFound(f"there is no schedule {schedule!r} here; `multiagent schedules list` shows those there are")


def _read(row: ScheduleRow, data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise StorageCorrupt(
            f"schedule {row.id} cannot be read ({error}); delete it and create it again: multiagent schedules delete"
        ) from error
