"""Serving on Temporal: a process does the steps of its services; the orchestrator's also hands commands to the engine.

Any number of processes of a service may work beside each other, and any of them may die.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from multiagent.agents.recheck import Rechecker
from multiagent.app.build import DELIVER, TENANT, offered, open_service
from multiagent.app.intake import open_intake, this_host
from multiagent.app.lifecycle import background
from multiagent.app.roles import Crew, Room, crew, every_step, open_room
from multiagent.app.serve import Serving, leave, pause
from multiagent.app.temporal import temporal_options
from multiagent.app.timekeeping import accepting
from multiagent.app.vitals import Vitals
from multiagent.core.errors import EngineOwned, PlatformError
from multiagent.engines.factory import EngineParts, open_temporal, open_workers, own_home, temporal_schedules
from multiagent.engines.temporal.options import Load, TemporalOptions
from multiagent.llm.overdue import watch_overdue
from multiagent.orchestrator.approvals import Approvals
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.handover import Host
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.factory import Storage, open_sequencer, open_turn

if TYPE_CHECKING:
    from multiagent.engines.temporal.schedules import TemporalSchedules

PROCESSES: Final = "processes"
"""The folder of the home in which each process has one of its own, by number, for as long as it lives."""
WIDTH: Final = 16
"""So many tasks' commands are handed to the engine side by side."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a process that serves stands on, open."""

    members: Crew
    options: TemporalOptions
    storage: Storage
    room: Room

    @property
    def parts(self) -> EngineParts:
        """What an engine stands on here."""
        storage = self.storage
        return EngineParts(storage.writer, storage.reader, storage.objects, self.members.clock, self.members.ids)


async def together(serving: Serving, vitals: Vitals) -> None:
    """Do the steps of these services until stopped, beside whoever else does."""
    place = serving.place
    drain_s = place.settings.serve.drain_s
    members = crew(place.places, place.settings, serving.environment, serving.services)
    options = temporal_options(place)
    async with AsyncExitStack() as stack:
        ground = await _patiently(serving, vitals, stack, members, options)
        if ground is None:
            return
        steps = vitals.room(ground.room, members.cache)
        leads = "orchestrator" in serving.services
        schedules = _schedules(ground) if leads else None
        parts = replace(ground.parts, schedules=schedules)
        load = Load(place.settings.serve.steps, drain_s)
        workers = await stack.enter_async_context(open_workers(options, parts, (TASK,), steps, serving.services, load))
        vitals.engine(workers.check)
        if schedules is not None:
            await stack.enter_async_context(leading(serving, vitals, ground, schedules))
        vitals.opened()
        await serving.stopped.wait()
        leave(serving, vitals)
        await workers.drain(drain_s)


async def _patiently(
    serving: Serving, vitals: Vitals, stack: AsyncExitStack, members: Crew, options: TemporalOptions
) -> Ground | None:
    """Open storage and what the steps stand on, however long the database takes to be there; None where stopped."""
    place = serving.place
    while not serving.stopped.is_set():
        async with AsyncExitStack() as trial:
            try:
                folder = trial.enter_context(own_folder(place.home))
                if not place.shared:
                    trial.enter_context(own_home(place.home))
                storage = vitals.storage(await trial.enter_async_context(place.storage()))
                room = await trial.enter_async_context(open_room(members, storage, folder / "scratch"))
            except PlatformError as error:
                if not error.retryable and not isinstance(error, EngineOwned):
                    raise
                vitals.waits(error)
            else:
                stack.push_async_exit(trial.pop_all())
                return Ground(members, options, storage, room)
        await pause(serving.stopped)
    return None


@contextmanager
def own_folder(home: Path) -> Iterator[Path]:
    """Own the first of the home's numbered folders that no living process owns, for the block."""
    with ExitStack() as stack:
        yield _owned(stack, home / PROCESSES)


def _owned(stack: ExitStack, folder: Path) -> Path:
    number = 1
    while True:
        try:
            stack.enter_context(own_home(folder / str(number)))
        except EngineOwned:
            number += 1
        else:
            return folder / str(number)


def _schedules(ground: Ground) -> "TemporalSchedules":
    """Return what keeps schedules here; their runs are accepted as every task is, for whichever process does them."""
    members, storage, room = ground.members, ground.storage, ground.room
    schedules = temporal_schedules(ground.options, ground.parts)
    service = open_service(members, storage, offered(members.settings, room.runner, members.extensions), Host())
    runs = accepting(members, service, room.policy.bundle_hash)
    schedules.attach(runs.fire, runs.stop)
    return schedules


@asynccontextmanager
async def leading(
    serving: Serving, vitals: Vitals, ground: Ground, schedules: "TemporalSchedules"
) -> AsyncIterator[None]:
    """Hand commands to the engine and to the keeper of schedules during the block, beside other orchestrators."""
    members, storage, asker = ground.members, ground.storage, ground.room.asker
    url = members.settings.storage.url
    shown = await every_step(asker, members.extensions)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_temporal(ground.options, ground.parts, (TASK,), shown))
        dispatcher = Dispatcher(storage.writer, storage.reader, engine, members.clock, width=WIDTH)
        dispatcher.turn = await stack.enter_async_context(open_turn(url, DELIVER))
        dispatcher.approvals = Approvals(storage.writer, storage.reader, members.clock, Rechecker(asker))
        dispatcher.schedules = schedules
        vitals.commands(dispatcher.waiting)
        if storage.notices is not None:
            stack.callback(storage.notices.on_command(dispatcher.wake))
            await stack.enter_async_context(open_sequencer(url))
        if not serving.place.shared:
            await stack.enter_async_context(_inbox(serving, ground, dispatcher))
        await stack.enter_async_context(background(dispatcher.run()))
        await stack.enter_async_context(background(schedules.run()))
        await stack.enter_async_context(background(watch_overdue(storage.writer, storage.reader, members.clock)))
        yield


@asynccontextmanager
async def _inbox(serving: Serving, ground: Ground, dispatcher: Dispatcher) -> AsyncIterator[None]:
    """Take what terminals leave in the home, where the database is this process's alone."""
    members, room = ground.members, ground.room
    host = this_host(members.gate, serving.environment, room.policy.bundle_hash, members.extensions.loads)
    offers = offered(members.settings, room.runner, members.extensions)
    service = open_service(members, ground.storage, offers, host, dispatcher.wake)
    if room.gate is not None:
        await room.gate.recover(TENANT)
    async with open_intake(serving.place.home, room.asker, service, host):
        yield
