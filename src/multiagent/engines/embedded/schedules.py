"""Schedules on the embedded engine: a durable workflow keeps the time of each, on journaled timers."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from multiagent.core.errors import InvalidInput, NotFound, PlatformError
from multiagent.core.events import TASK_ENDS, EventHeader
from multiagent.core.ids import Ids
from multiagent.core.schedule import Schedule, State
from multiagent.engines.base import Engine, Step, StepInfo, Workflow
from multiagent.engines.schedules.base import Fire, Stop
from multiagent.engines.schedules.book import Book, Kept
from multiagent.engines.schedules.keeper import Keeper
from multiagent.engines.schedules.looking import Looker
from multiagent.engines.schedules.ticking import GO_ON, KEEP_TIME, LOOK, TENANT, TICK, Told, Watch
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.keeping import PruneTask

_log = logging.getLogger("multiagent.schedules")


class EmbeddedSchedules(Keeper):
    """See ``SchedulesHere``."""

    def __init__(self, book: Book, writer: Writer, ids: Ids) -> None:
        super().__init__(book, self)
        self._writer = writer
        self._ids = ids
        self._engine: Engine
        self._looker: Looker
        self._under_way: dict[str, tuple[str, str]] = {}
        self._ended: set[tuple[str, str]] = set()
        self._news = asyncio.Event()

    @property
    def workflows(self) -> Sequence[Workflow[Any, Any]]:
        """See ``SchedulesHere``."""
        return (KEEP_TIME,)

    @property
    def steps(self) -> Sequence[Step[Any, Any]]:
        """See ``SchedulesHere``."""
        return (Step(TICK, self._tick), Step(GO_ON, self._go_on))

    def attach(self, engine: Engine, fire: Fire, stop: Stop) -> None:
        """See ``SchedulesHere``."""
        self._engine, self._looker = engine, Looker(self._book, fire, stop)

    async def run(self) -> None:
        """Tell schedules of the ends of their runs, until cancelled."""
        unsubscribe = self._writer.on_commit(self._heard)
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._ended:
                    await self._told(*self._ended.pop())
        finally:
            unsubscribe()

    async def settle(self) -> None:
        """See ``Schedules.settle``."""
        for there in await self._book.all():
            await self._told(there.tenant, there.schedule.id)

    async def keep(self, there: Kept) -> None:
        """See ``Clockwork``."""
        await self.look(there)

    async def look(self, there: Kept) -> None:
        """Have the run that keeps a schedule's time look at it; begin a new one where that has ended."""
        try:
            if there.state.clock:
                await self._engine.signal(TENANT, there.state.clock, LOOK, b"", self._ids())
                return
        except (NotFound, InvalidInput):
            _log.info("schedule %s is given a new clock", there.schedule.id)
        await self._begin(there, there.state.clock)

    async def forget(self, there: Kept) -> None:
        """See ``Clockwork``: the run that kept its time looks, and finds it gone."""
        try:
            await self._engine.signal(TENANT, there.state.clock, LOOK, b"", self._ids())
        except PlatformError as error:
            _log.info("the clock of schedule %s ends at its next look: %s", there.schedule.id, error)

    async def _told(self, tenant: str, schedule: str) -> None:
        """Have a schedule looked at; what goes wrong is mended by its next look."""
        try:
            there = await self._book.find(tenant, schedule)
            if there is not None:
                await self.look(there)
        except PlatformError as error:
            _log.warning("schedule %s is looked at later: %s", schedule, error)

    async def _begin(self, there: Kept, before: str) -> None:
        """Let a new run keep a schedule's time after the run ``before``, unless one does by now."""
        clock = self._ids()

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            if state.clock != before:
                return was, state
            return was, msgspec.structs.replace(state, clock=clock, before=before)

        name = there.schedule.id
        state = (await self._book.change(there.tenant, name, edit)).state
        watch = Watch(there.tenant, name, state.clock, state.before)
        await self._engine.start(TENANT, state.clock, KEEP_TIME.name, msgspec.json.encode(watch))

    async def _tick(self, _info: StepInfo, watch: Watch) -> Told:
        while True:
            there = await self._book.find(watch.tenant, watch.schedule)
            if there is None or there.state.clock != watch.clock:
                return Told(over=True)
            looked = await self._looker.look(there)
            if looked is None:
                continue
            self._under_way.update((run.task, (watch.tenant, watch.schedule)) for run in looked.runs)
            if looked.waits and not await self._book.under_way(watch.tenant, watch.schedule):
                continue  # they ended before anybody listened for it
            return Told(looked.wake)

    async def _go_on(self, _info: StepInfo, watch: Watch) -> Told:
        """Begin the next run of a schedule's clock; forget what the one before this held."""
        there = await self._book.find(watch.tenant, watch.schedule)
        if there is not None:
            await self._begin(there, watch.clock)
        if watch.before:
            await self._writer.commit(PruneTask(tenant=TENANT, id=watch.before, time=self._book.now()))
        return Told(over=True)

    def _heard(self, headers: Sequence[EventHeader]) -> None:
        for header in headers:
            if header.kind in TASK_ENDS and header.task in self._under_way:
                self._ended.add(self._under_way.pop(header.task))
                self._news.set()
