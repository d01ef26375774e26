"""Assembly of the embedded platform: one process that does all there is to do in a home."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from multiagent.agents.recheck import Rechecker
from multiagent.app.ask import Ask
from multiagent.app.extensions import Extensions
from multiagent.app.follow import follow
from multiagent.app.intake import open_intake, this_host
from multiagent.app.lifecycle import background
from multiagent.app.models import offline_hint
from multiagent.app.offers import Offers
from multiagent.app.place import Place
from multiagent.app.record import Record, record
from multiagent.app.roles import Crew, crew, open_room
from multiagent.app.snapshot import task_settings
from multiagent.app.system import SystemClock
from multiagent.app.timekeeping import accepting, expected, keeping_time, people_s
from multiagent.app.vitals import Vitals
from multiagent.config.settings import Places, Settings
from multiagent.core.errors import EngineOwned
from multiagent.core.events import Event
from multiagent.core.principal import Principal
from multiagent.core.task import FINISHED
from multiagent.engines.base import Engine, RunResult
from multiagent.engines.factory import EngineParts, embedded_schedules, open_engine, own_home
from multiagent.orchestrator.approvals import Approvals
from multiagent.orchestrator.dispatcher import Dispatcher
from multiagent.orchestrator.handover import Host
from multiagent.orchestrator.service import Service, Submission
from multiagent.orchestrator.sessions import Sessions
from multiagent.orchestrator.steps import usable
from multiagent.orchestrator.uploads import Uploads
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.factory import Storage, open_sequencer, open_turn
from multiagent.storage.sql.base import Turn
from multiagent.tools.base import Runner

TENANT: Final = "local"
DELIVER: Final = "delivers commands"
"""The work that one process of a database does at a time; with the embedded engine that one does all there is."""
TURN_S: Final = 2.0
"""How long it may take to learn whose turn it is."""
LOOK_S: Final = 0.02
LOCAL_USER: Final = Principal(TENANT, "user", permissions=("code_execution", "data_access"))
"""Who the terminal acts for."""


class Platform:
    """The platform as one process sees it, open: submit, follow, look; whichever engine does the work."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        engine: Engine,
        service: Service,
        policy_hash: str,
        offers: Offers,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._engine = engine
        self._service = service
        self._policy_hash = policy_hash
        self._offers = offers
        self.drains: Callable[[float], Awaitable[None]] | None = None
        """Set where this process itself runs steps."""
        self.offline_hint = ""
        self.resumed: tuple[str, ...] = ()

    async def submit(self, ask: Ask) -> str:
        """Accept a task and return its id. Raises InvalidInput's and StorageError's children."""
        plan = self._offers.read(ask.plan, ask.files)
        created = await self._service.submit(
            Submission(
                LOCAL_USER,
                ask.query,
                ask.files,
                task_settings(self._settings, ask, self._policy_hash),
                session=ask.session,
                session_tokens=self._settings.budget.session_tokens,
                plan=plan,
                recalled=ask.recalled,
            )
        )
        return created.id

    def follow(self, task: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield a task's events, from the first after ``after`` to the last."""
        storage = self._storage
        return follow(storage.reader, storage.writer, TENANT, task, after, storage.notices)

    async def settled(self, task: str) -> RunResult:
        """Wait until a task's end is stored, also where it was only just accepted."""
        async for _ in self.follow(task):
            pass
        return await self._engine.result(TENANT, task)

    async def busy(self) -> bool:
        """Whether any task is under way here, or waits for a person or a time; paused ones have nothing to do."""
        reader = self._storage.reader
        rows = people_s(await reader.unfinished())
        if any(row.status != "paused" and not self._service.host.lacks(row.input) for row in rows):
            return True
        return await expected(reader, SystemClock().now())

    async def known(self, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """Return those that are tasks of people, not the engine's own."""
        return tuple([one for one in tasks if await self._storage.reader.task(TENANT, one) is not None])

    async def lacks(self, task: str) -> str:
        """Return what this process lacks to go on with a task, and what to do; nothing where it can."""
        row = await self._storage.reader.task(TENANT, task)
        return "" if row is None or row.status in FINISHED else self._service.host.lacks(row.input)

    async def drain(self, seconds: float) -> None:
        """Begin no step any more and give running ones so long to end; the rest stays to be gone on with."""
        if self.drains is not None:
            await self.drains(seconds)

    async def replay(self, task: str) -> RunResult:
        """Feed a task's journal to today's code; NonDeterminism where it drifts."""
        return await self._engine.replay(TENANT, task)

    async def record(self, task: str) -> Record:
        """Return what is stored of a task; NotFound where there is none."""
        return await record(self._storage.reader, TENANT, task)


@asynccontextmanager
async def open_platform(
    places: Places, settings: Settings, environment: Mapping[str, str], vitals: Vitals | None = None
) -> AsyncIterator[Platform]:
    """Open everything, take up what was left unfinished, close it at the end of the block; what is opened is shown to
    the ``vitals`` of a process that serves.

    Raises EngineOwned where another process owns the home, StorageError's children, PolicyBroken, ConfigInvalid.
    """
    home, members = Path(places.home), crew(places, settings, environment)
    async with AsyncExitStack() as stack:
        stack.enter_context(own_home(home))
        storage = await stack.enter_async_context(Place(places, settings).storage())
        turn = await _own_database(stack, settings.storage.url)
        if vitals is not None:
            storage = vitals.storage(storage)
        room = await stack.enter_async_context(open_room(members, storage, home / "scratch"))
        parts = EngineParts(storage.writer, storage.reader, storage.objects, members.clock, members.ids)
        schedules = embedded_schedules(parts)
        steps = room.steps if vitals is None else vitals.room(room, members.cache)
        engine = await stack.enter_async_context(
            open_engine(
                None,
                parts,
                workflows=(TASK, *schedules.workflows),
                steps=(*steps, *schedules.steps),
            )
        )
        host = this_host(members.gate, environment, room.policy.bundle_hash, members.extensions.loads)
        dispatcher = Dispatcher(storage.writer, storage.reader, engine, members.clock, host.lacks)
        if vitals is not None:
            vitals.commands(dispatcher.waiting)
        offers = offered(settings, room.runner, members.extensions)
        service = open_service(members, storage, offers, host, dispatcher.wake)
        platform = Platform(settings, storage, engine, service, room.policy.bundle_hash, offers)
        platform.drains = engine.drain
        platform.offline_hint = offline_hint(members.gate, environment)
        if room.gate is not None:
            await room.gate.recover(TENANT)
        if storage.notices is not None:
            dispatcher.turn = turn
            dispatcher.approvals = Approvals(storage.writer, storage.reader, members.clock, Rechecker(room.asker))
            stack.callback(storage.notices.on_command(dispatcher.wake))
            await stack.enter_async_context(open_sequencer(settings.storage.url))
        else:
            await stack.enter_async_context(open_intake(home, room.asker, service, host))
        runs = accepting(members, service, room.policy.bundle_hash)
        await stack.enter_async_context(keeping_time(schedules, engine, runs))
        dispatcher.schedules = schedules
        platform.resumed = await platform.known(await engine.recover(host.lacks))
        await schedules.settle()
        await stack.enter_async_context(background(dispatcher.run()))
        yield platform


async def _own_database(stack: AsyncExitStack, url: str) -> Turn:
    """Be the one that works on a database's tasks until the stack ends; EngineOwned where another process does."""
    turn = await stack.enter_async_context(open_turn(url, DELIVER))
    until = time.monotonic() + TURN_S
    while not turn.mine():
        if time.monotonic() > until:
            raise EngineOwned(
                "another process works on the tasks of this database, as a service or from another home; stop it, or "
                "wait until it ends"
            )
        await asyncio.sleep(LOOK_S)
    return turn


def open_service(
    members: Crew, storage: Storage, offers: Offers, host: Host, wake: Callable[[], None] = lambda: None
) -> Service:
    """Return what accepts tasks in a process; ``wake`` tells its dispatcher, where it has one."""
    settings = members.settings
    uploads = Uploads(storage.objects, settings.attachments.max_mib << 20, settings.attachments.max_count)
    service = Service(storage.writer, uploads, members.clock, members.ids, wake, offers.accept)
    sessions = Sessions(storage.writer, storage.reader, members.clock, settings.session.max_tokens)
    service.recall = sessions.recall
    service.host = host
    return service


def offered(settings: Settings, runner: Runner, extensions: Extensions) -> Offers:
    """Return what plans may name here."""
    tools = tuple(spec.name for spec in runner.specs(LOCAL_USER) if usable(spec, LOCAL_USER))
    return Offers(settings.task.max_nodes, tools, tuple(extensions.agents))
