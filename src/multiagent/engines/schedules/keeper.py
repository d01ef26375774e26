"""What is asked of schedules, on either engine: first what is kept changes, then the clock is told. Done again after a
kill in between, it comes to the same.
"""

from typing import Protocol

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.schedule import MOST_SPANS, Schedule, Span, State
from multiagent.engines.schedules.book import Book, Edit, Kept, unknown
from multiagent.engines.schedules.times import checked, checked_span


class Clockwork(Protocol):
    """What keeps the time of schedules: an engine's own timers, or a server's."""

    async def keep(self, there: Kept) -> None:
        """Keep a schedule's time, as it is defined now."""
        ...

    async def look(self, there: Kept) -> None:
        """Have it decided soon on what has come of a schedule."""
        ...

    async def forget(self, there: Kept) -> None:
        """Keep a schedule's time no more; it is not kept any more either."""
        ...


class Keeper:
    """See ``Schedules``."""

    def __init__(self, book: Book, clockwork: Clockwork) -> None:
        self._book = book
        self._clockwork = clockwork

    async def create(self, tenant: str, schedule: Schedule, id: str) -> None:  # noqa: A002 — the port's name
        """See ``Schedules.create``."""
        now = self._book.now()
        await self._book.add(tenant, checked(schedule, now), State(seen=now, made_by=id))
        await self._clockwork.keep(await self._there(tenant, schedule.id))

    async def update(self, tenant: str, schedule: Schedule) -> None:
        """See ``Schedules.update``."""
        now = self._book.now()
        wanted = checked(schedule, now)

        def edit(_was: Schedule, state: State) -> tuple[Schedule, State]:
            return wanted, msgspec.structs.replace(state, seen=max(state.seen, now), spans=())

        await self._clockwork.keep(await self._book.change(tenant, schedule.id, edit))

    async def pause(self, tenant: str, schedule: str, note: str) -> None:
        """See ``Schedules.pause``."""
        await self._clockwork.keep(await self._book.change(tenant, schedule, self._paused(note, paused=True)))

    async def unpause(self, tenant: str, schedule: str, note: str) -> None:
        """See ``Schedules.unpause``."""
        await self._clockwork.keep(await self._book.change(tenant, schedule, self._paused(note, paused=False)))

    async def trigger(self, tenant: str, schedule: str, time: int) -> None:
        """See ``Schedules.trigger``."""

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            known = time in state.triggered
            return was, state if known else msgspec.structs.replace(state, triggered=(*state.triggered, time))

        await self._clockwork.look(await self._book.change(tenant, schedule, edit))

    async def backfill(self, tenant: str, schedule: str, span: Span) -> None:
        """See ``Schedules.backfill``."""
        now = self._book.now()

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            checked_span(was, span, now)
            known = span in state.spans
            if not known and len(state.spans) >= MOST_SPANS:
                raise InvalidInput(f"{MOST_SPANS} backfills of schedule {schedule} wait already; let some end first")
            return was, state if known else msgspec.structs.replace(state, spans=(*state.spans, span))

        await self._clockwork.look(await self._book.change(tenant, schedule, edit))

    async def delete(self, tenant: str, schedule: str) -> None:
        """See ``Schedules.delete``."""
        there = await self._there(tenant, schedule)
        if not await self._book.drop(tenant, schedule):
            raise unknown(schedule)
        await self._clockwork.forget(there)

    def _paused(self, note: str, *, paused: bool) -> Edit:
        now = self._book.now()

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            seen = max(state.seen, now) if was.paused != paused else state.seen
            return msgspec.structs.replace(was, paused=paused, note=note), msgspec.structs.replace(state, seen=seen)

        return edit

    async def _there(self, tenant: str, schedule: str) -> Kept:
        there = await self._book.find(tenant, schedule)
        if there is None:
            raise unknown(schedule)
        return there
