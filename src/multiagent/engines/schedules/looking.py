"""A look at a schedule, on either engine: decide on the times that have come, keep that, then accept their tasks."""

import logging

import msgspec

from multiagent.core.errors import NotFound, PlatformError
from multiagent.core.fault import fault
from multiagent.core.schedule import Schedule, State, iso
from multiagent.engines.schedules.base import Fire, ScheduledRun, Stop
from multiagent.engines.schedules.book import Book, Kept
from multiagent.engines.schedules.deciding import decide

_log = logging.getLogger("multiagent.schedules")


class Looked(msgspec.Struct, frozen=True):
    """What a look came to: when the next one is due (None: when told to), and whether an end of ``runs``, which go on,
    is waited for.
    """

    wake: int | None = None
    waits: bool = False
    runs: tuple[ScheduledRun, ...] = ()


class Looker:
    """Looks at schedules. ``fire`` accepts runs, ``stop`` asks for their ends. Killed at any point, the next look goes
    on: what was decided is kept before it is done, and a run is accepted once for its time.
    """

    def __init__(self, book: Book, fire: Fire, stop: Stop) -> None:
        self._book = book
        self._fire = fire
        self._stop = stop

    async def look(self, there: Kept) -> Looked | None:
        """Look at a schedule; None where somebody else has changed it meanwhile: find it again, and look again."""
        tenant, name = there.tenant, there.schedule.id
        going = await self._book.under_way(tenant, name)
        decided = decide(there.schedule, there.state, self._book.now(), busy=bool(going))
        stands = await self._book.advance(there, decided.state)
        if stands is None:
            return None
        fault("schedule.after-decide-before-fire")
        if decided.cancel:
            for run in going:
                await self._stop(tenant, run.task, f"a newer run of schedule {name} is due")
        for planned in decided.state.firing:
            await self._run(stands, planned)
        waits = stands.state.buffered is not None or bool(stands.state.spans)
        return Looked(decided.wake, waits, await self._book.under_way(tenant, name))

    async def _run(self, there: Kept, planned: int) -> None:
        """Accept the task of a run, then note that it is; done again after a kill in between, it is the same task."""
        error = ""
        try:
            await self._fire(there.tenant, there.schedule, planned)
        except PlatformError as failed:
            if failed.retryable:
                raise
            error = f"the run of {iso(planned)} was not accepted: {failed.code}: {failed.message}"
            _log.warning("schedule %s: %s", there.schedule.id, error)
        fault("schedule.after-fire-before-note")

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            left = tuple(one for one in state.firing if one != planned)
            return was, msgspec.structs.replace(state, firing=left, error=error)

        try:
            await self._book.change(there.tenant, there.schedule.id, edit)
        except NotFound:  # deleted meanwhile
            return
