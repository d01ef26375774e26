"""Schedules on the embedded engine: a durable workflow keeps the time of each, on journaled timers."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from multiagent.core.errors import InvalidInput, NotFound, PlatformError
from multiagent.core.events import EventHeader, EventKind
from multiagent.core.fault import fault
from multiagent.core.ids import Ids
from multiagent.core.schedule import Schedule, Span, State, iso
from multiagent.engines.base import Engine, Step, StepInfo, Workflow
from multiagent.engines.schedules.base import Fire, Stop
from multiagent.engines.schedules.book import Book, Kept, unknown
from multiagent.engines.schedules.deciding import decide
from multiagent.engines.schedules.ticking import GO_ON, KEEP_TIME, LOOK, TENANT, TICK, Told, Watch
from multiagent.engines.schedules.times import checked, checked_span
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.keeping import PruneTask

ENDS: Final = frozenset(
    {EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED, EventKind.TASK_QUARANTINED}
)
_log = logging.getLogger("multiagent.schedules")


class EmbeddedSchedules:
    """See ``Schedules``. Its ``steps`` and ``workflows`` belong to the engine that it is then ``attached`` to."""

    def __init__(self, book: Book, writer: Writer, ids: Ids) -> None:
        self._book = book
        self._writer = writer
        self._ids = ids
        self._engine: Engine
        self._fire: Fire
        self._stop: Stop
        self._under_way: dict[str, tuple[str, str]] = {}
        self._ended: set[tuple[str, str]] = set()
        self._news = asyncio.Event()

    @property
    def workflows(self) -> Sequence[Workflow[Any, Any]]:
        """What the engine has to know of."""
        return (KEEP_TIME,)

    @property
    def steps(self) -> Sequence[Step[Any, Any]]:
        """What this process does for it."""
        return (Step(TICK, self._tick), Step(GO_ON, self._go_on))

    def attach(self, engine: Engine, fire: Fire, stop: Stop) -> None:
        """Say what keeps time, what accepts runs and what asks for their ends; before anything else."""
        self._engine, self._fire, self._stop = engine, fire, stop

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

    async def create(self, tenant: str, schedule: Schedule, id: str) -> None:  # noqa: A002 — the port's name
        """See ``Schedules.create``."""
        now = self._book.now()
        await self._book.add(tenant, checked(schedule, now), State(seen=now, made_by=id))
        await self._look(tenant, schedule.id)

    async def update(self, tenant: str, schedule: Schedule) -> None:
        """See ``Schedules.update``."""
        now = self._book.now()
        wanted = checked(schedule, now)

        def edit(_was: Schedule, state: State) -> tuple[Schedule, State]:
            return wanted, msgspec.structs.replace(state, seen=max(state.seen, now), spans=())

        await self._book.change(tenant, schedule.id, edit)
        await self._look(tenant, schedule.id)

    async def pause(self, tenant: str, schedule: str, note: str) -> None:
        """See ``Schedules.pause``."""
        await self._pause(tenant, schedule, note, paused=True)

    async def unpause(self, tenant: str, schedule: str, note: str) -> None:
        """See ``Schedules.unpause``."""
        await self._pause(tenant, schedule, note, paused=False)

    async def trigger(self, tenant: str, schedule: str, time: int) -> None:
        """See ``Schedules.trigger``."""

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            known = time in state.triggered
            return was, state if known else msgspec.structs.replace(state, triggered=(*state.triggered, time))

        await self._book.change(tenant, schedule, edit)
        await self._look(tenant, schedule)

    async def backfill(self, tenant: str, schedule: str, span: Span) -> None:
        """See ``Schedules.backfill``."""
        now = self._book.now()

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            checked_span(was, span, now)
            known = span in state.spans
            return was, state if known else msgspec.structs.replace(state, spans=(*state.spans, span))

        await self._book.change(tenant, schedule, edit)
        await self._look(tenant, schedule)

    async def delete(self, tenant: str, schedule: str) -> None:
        """See ``Schedules.delete``."""
        there = await self._book.find(tenant, schedule)
        if there is None or not await self._book.drop(tenant, schedule):
            raise unknown(schedule)
        try:
            await self._engine.signal(TENANT, there.state.clock, LOOK, b"", self._ids())
        except PlatformError as error:
            _log.info("the clock of schedule %s ends at its next look: %s", schedule, error)

    async def _pause(self, tenant: str, schedule: str, note: str, *, paused: bool) -> None:
        now = self._book.now()

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            seen = max(state.seen, now) if was.paused != paused else state.seen
            return msgspec.structs.replace(was, paused=paused, note=note), msgspec.structs.replace(state, seen=seen)

        await self._book.change(tenant, schedule, edit)
        await self._look(tenant, schedule)

    # --- the clock ---

    async def _told(self, tenant: str, schedule: str) -> None:
        """Have a schedule looked at; what goes wrong is mended by its next look."""
        try:
            await self._look(tenant, schedule)
        except PlatformError as error:
            _log.warning("schedule %s is looked at later: %s", schedule, error)

    async def _look(self, tenant: str, schedule: str) -> None:
        """Have a schedule looked at by the run that keeps its time; begin a new one where that has ended."""
        there = await self._book.find(tenant, schedule)
        if there is None:
            return
        try:
            if there.state.clock:
                await self._engine.signal(TENANT, there.state.clock, LOOK, b"", self._ids())
                return
        except (NotFound, InvalidInput):
            _log.info("schedule %s is given a new clock", schedule)
        await self._begin(there, there.state.clock)

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
            open_runs = await self._book.under_way(watch.tenant, watch.schedule)
            self._under_way.update((run.task, (watch.tenant, watch.schedule)) for run in open_runs)
            decided = decide(there.schedule, there.state, self._book.now(), busy=bool(open_runs))
            stands = await self._book.advance(there, decided.state)
            if stands is None:
                continue
            fault("schedule.after-decide-before-fire")
            if decided.cancel:
                for run in open_runs:
                    await self._stop(watch.tenant, run.task, f"a newer run of schedule {watch.schedule} is due")
            for planned in decided.state.firing:
                await self._run(stands, planned)
            if await self._waits_in_vain(stands):
                continue
            return Told(decided.wake)

    async def _waits_in_vain(self, there: Kept) -> bool:
        """Whether a schedule waits for the end of a run, and there is none under way: it ended before it was known."""
        if there.state.buffered is None and not there.state.spans:
            return False
        return not await self._book.under_way(there.tenant, there.schedule.id)

    async def _run(self, there: Kept, planned: int) -> None:
        """Accept the task of a run, then note that it is; done again after a kill in between, it is the same task."""
        error = ""
        try:
            task = await self._fire(there.tenant, there.schedule, planned)
            self._under_way[task] = there.tenant, there.schedule.id
        except PlatformError as failed:
            if failed.retryable:
                raise
            error = f"the run of {iso(planned)} was not accepted: {failed.code}: {failed.message}"
            _log.error("schedule %s: %s", there.schedule.id, error)
        fault("schedule.after-fire-before-note")

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            left = tuple(one for one in state.firing if one != planned)
            return was, msgspec.structs.replace(state, firing=left, error=error)

        try:
            await self._book.change(there.tenant, there.schedule.id, edit)
        except NotFound:  # deleted meanwhile
            return

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
            if header.kind in ENDS and header.task in self._under_way:
                self._ended.add(self._under_way.pop(header.task))
                self._news.set()
