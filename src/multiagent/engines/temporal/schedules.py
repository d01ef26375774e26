"""Schedules on Temporal: its own schedules keep their time; what comes of it is decided as on the other engine."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.client import Schedule as ServerSchedule
from temporalio.service import RPCError, RPCStatusCode

from multiagent.core.clock import Clock
from multiagent.core.errors import EngineUnavailable, PlatformError
from multiagent.core.ids import Ids
from multiagent.core.schedule import Schedule, State
from multiagent.engines.schedules.base import Fire, Stop
from multiagent.engines.schedules.book import Book, Kept
from multiagent.engines.schedules.keeper import Keeper
from multiagent.engines.schedules.looking import Looker
from multiagent.engines.schedules.ticking import TENANT as CLOCKS
from multiagent.engines.temporal.connect import CALL, Link
from multiagent.engines.temporal.looks import LOOK, LookCall, Looks, begin, forget, name_of
from multiagent.engines.temporal.timetable import spec
from multiagent.storage.sql.base import Writer
from multiagent.storage.sql.ops import UpdateTask

SETTLE_S: Final = 300.0
"""How often the server's schedules are compared with those that are kept."""
RETRY_S: Final = 5.0
_log = logging.getLogger("multiagent.schedules")


class TemporalSchedules(Keeper):
    """See ``Schedules``. ``attach`` says what accepts runs; ``looks`` are what a worker does for it."""

    def __init__(self, link: Link, book: Book, writer: Writer, clock: Clock, ids: Ids) -> None:
        super().__init__(book, self)
        self._link = link
        self._writer = writer
        self._clock = clock
        self._ids = ids
        self.looks: Looks

    def attach(self, fire: Fire, stop: Stop) -> None:
        """Say what accepts runs and what asks for their ends, before anything else."""
        self.looks = Looks(self._link, self._book, Looker(self._book, fire, stop))

    async def run(self) -> None:
        """Settle, again and again, until cancelled: the server may have been away, or may have lost what it had."""
        while True:
            try:
                await self.settle()
                delay = SETTLE_S
            except PlatformError as error:
                _log.warning("the times of schedules are not compared with the server's: %s", error)
                delay = RETRY_S
            await asyncio.sleep(delay)

    async def settle(self) -> None:
        """See ``Schedules.settle``."""
        failed: PlatformError | None = None
        for there in await self._book.all():
            try:
                if there.state.clock:
                    await self._take_over(there)
                await self.keep(there)
            except PlatformError as error:
                _log.warning("the time of schedule %s is not kept yet: %s", there.schedule.id, error)
                failed = failed or error
        if failed is not None:
            raise failed

    async def keep(self, there: Kept) -> None:
        """See ``Clockwork``: as the server's own schedule of that name, made or brought up to date."""
        wanted = self._wanted(there)

        async def put(client: Client) -> None:
            name = name_of(self._link, there.tenant, there.schedule.id)
            try:
                await client.create_schedule(name, wanted, rpc_timeout=CALL)
            except ScheduleAlreadyRunningError:
                await _update(client, name, wanted)

        await self._link.call(f"schedule {there.schedule.id}", put)
        await self.look(there)

    async def look(self, there: Kept) -> None:
        """See ``Clockwork``."""
        await begin(self._link, LookCall(there.tenant, there.schedule.id), f"look/{self._ids()}")

    async def forget(self, there: Kept) -> None:
        """See ``Clockwork``; where a kill comes before, the next look finds it gone."""
        await forget(self._link, there.tenant, there.schedule.id)

    def _wanted(self, there: Kept) -> ServerSchedule:
        """The server only says when to look: whether runs overlap is seen by their tasks, which outlive a look."""
        schedule, options = there.schedule, self._link.options
        return ServerSchedule(
            action=ScheduleActionStartWorkflow(
                LOOK,
                LookCall(there.tenant, schedule.id),
                id=f"{name_of(self._link, there.tenant, schedule.id)}/look",
                task_queue=options.queue("orchestrator"),
            ),
            spec=spec(schedule, self._clock.now()),
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=timedelta(seconds=schedule.catch_up_s)
            ),
            state=ScheduleState(paused=schedule.paused),
        )

    async def _take_over(self, there: Kept) -> None:
        """End what kept a schedule's time on the embedded engine, on whose database this one works now."""

        def edit(was: Schedule, state: State) -> tuple[Schedule, State]:
            return was, msgspec.structs.replace(state, clock="", before="")

        await self._book.change(there.tenant, there.schedule.id, edit)
        ended = UpdateTask(tenant=CLOCKS, id=there.state.clock, time=self._clock.now(), status="cancelled")
        await self._writer.commit(ended)


async def _update(client: Client, name: str, wanted: ServerSchedule) -> None:
    """Bring a schedule on the server up to date; EngineUnavailable where it is on its way out there."""
    try:
        await client.get_schedule_handle(name).update(_putting(wanted), rpc_timeout=CALL)
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
            raise EngineUnavailable(f"{name} is on its way out on the server; it is put there again later") from error
        raise


def _putting(wanted: ServerSchedule) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    return lambda _given: ScheduleUpdate(wanted)
