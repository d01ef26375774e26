"""One stay with a task: submit it or hand it over, show it, take it over where its process is gone, print its end.

A signal stops the stay, never the task.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Final

from multiagent.app.ask import Ask
from multiagent.app.build import Platform, open_platform
from multiagent.app.follow import WATCH_S
from multiagent.app.lacking import lacking
from multiagent.app.leaving import taken
from multiagent.app.lifecycle import background
from multiagent.app.look import look
from multiagent.app.place import Place
from multiagent.app.record import Record
from multiagent.app.sandbox import ensure_runtime
from multiagent.app.steer import hand_over, watch_place
from multiagent.cli import output, report
from multiagent.cli.live import LiveView
from multiagent.cli.signals import until_stopped
from multiagent.core.errors import EngineOwned, InvalidInput, PlatformError, SandboxError, StorageUnavailable
from multiagent.core.events import TASK_ENDS
from multiagent.core.task import FINISHED

WONDER_S: Final = 2.0
"""A task without news for so long, of which services do the work, is asked what it waits for."""

GIVE_UP_S: Final = 2.0
"""How long a build that is given up may take to clear away what it began."""

_UNSURE: Final = "stopped; whether the task was accepted shows: multiagent tasks list"

Shown = Callable[[Record, output.Manner], int]
"""Prints a task that ended and returns the exit code."""


async def ask(place: Place, wanted: Ask, manner: output.Manner, shown: Shown = report.show) -> int:
    """Submit, or hand over to services or the process that owns the home; follow, print; return the exit code."""
    return await until_stopped(_ask(place, wanted, manner, shown))


async def _ask(place: Place, wanted: Ask, manner: output.Manner, shown: Shown) -> int:
    if place.served:
        with _told(_UNSURE):
            task = await hand_over(place, wanted, os.environ)
        return await Stay(place, task, manner, shown=shown).to_its_end()
    with _told("stopped before a task was accepted"):
        await prepare(place, manner)
    async with AsyncExitStack() as stack:
        with _told("stopped before a task was accepted"):
            platform = await _entered(stack, place)
        if platform is not None:
            _greet(platform, manner)
            with _told(_UNSURE):
                task = await platform.submit(wanted)
            return await Stay(place, task, manner, shown=shown).in_platform(platform)
    with _told(_UNSURE):
        task = await hand_over(place, wanted, os.environ)
    if not manner.quiet:
        output.say(f"task {task} is handed to {_owner(place)}")
    return await Stay(place, task, manner, handed=True, shown=shown).to_its_end()


def _owner(place: Place) -> str:
    pid = place.owner()
    if pid is None and place.shared:
        return "the process that works on the tasks of this database"
    return f"process {pid or 'unknown'}, which owns this home"


async def take_up(place: Place, task: str, manner: output.Manner) -> int:
    """Follow a task to its end, as the owner of its home where there is none; print its end."""
    return await until_stopped(_take_up(place, task, manner))


async def _take_up(place: Place, task: str, manner: output.Manner) -> int:
    with _told(f"stopped; task {task} is as it was"):
        await ready(place, manner)
    return await Stay(place, task, manner).to_its_end()


async def ready(place: Place, manner: output.Manner) -> None:
    """Make ready what this process needs to do a task itself; nothing where services do it."""
    if not place.served:
        await prepare(place, manner)


async def prepare(place: Place, manner: output.Manner) -> None:
    """Build the sandbox's runtime where it is missing, with its progress shown; when cancelled, give the build up."""
    given_up = threading.Event()
    with output.Progress("sandbox runtime", first_use=True) as progress:

        def show(stage: str, fraction: float) -> None:
            if given_up.is_set():
                raise SandboxError("the build of the sandbox runtime was given up")
            if not manner.quiet:
                progress.show(stage, fraction)

        building = _beside(lambda: ensure_runtime(place.cache, show))
        try:
            await asyncio.shield(building)
        except asyncio.CancelledError:
            given_up.set()
            await asyncio.wait((building,), timeout=GIVE_UP_S)
            raise


def _beside(work: Callable[[], None]) -> asyncio.Future[None]:
    """Do blocking work in a thread that the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end(error: Exception | None) -> None:
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: Exception | None = SandboxError("the build of the sandbox runtime broke off; see above, and try again")
        try:
            work()
            error = None
        except (PlatformError, OSError) as broken:
            error = broken
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(end, error)

    threading.Thread(target=run, name="runtime-build", daemon=True).start()
    done.add_done_callback(lambda one: one.cancelled() or one.exception())
    return done


@contextlib.contextmanager
def _told(words: str) -> Iterator[None]:
    """Say so when the block is cancelled: only signals cancel."""
    try:
        yield
    except asyncio.CancelledError:
        output.say(words)
        raise


class Stay:
    """Shows one task until it has ended, whichever process works on it. ``handed``: its owner may still refuse it."""

    def __init__(
        self,
        place: Place,
        task: str,
        manner: output.Manner,
        *,
        handed: bool = False,
        shown: Shown = report.show,
    ) -> None:
        self._place = place
        self._task = task
        self._manner = manner
        self._handed = handed
        self._show = shown
        self._after = 0
        self._platform: Platform | None = None
        self._live = LiveView(task, quiet=manner.quiet)

    async def to_its_end(self) -> int:
        """Watch, and take over as often as nobody owns the home. Of several that try, one wins; the others watch on.
        Where services do its tasks, watch, and say what is missing.
        """
        async with AsyncExitStack() as stack:
            if self._place.served:
                await stack.enter_async_context(background(self._wonder()))
            with self._live:
                code = await self._shown(self._anyhow(stack))
            await self._leave()
            return code

    async def in_platform(self, platform: Platform) -> int:
        """Follow in the process that owns the home."""
        with self._live:
            code = await self._shown(self._own(platform))
        await self._leave()
        return code

    async def _anyhow(self, stack: AsyncExitStack) -> Record:
        while True:
            if (record := await self._seen()) is not None:
                return record
            platform = await _entered(stack, self._place)
            if platform is not None:
                _greet(platform, self._manner)
                return await self._own(platform)
            await asyncio.sleep(WATCH_S)

    async def _leave(self) -> None:
        """Let what runs of other tasks end, for a bounded time: a step that is stopped is done, and paid, again."""
        if self._platform is not None and await self._platform.busy():
            await self._platform.drain(self._place.settings.owner.drain_s)

    async def _wonder(self) -> None:
        """Say what the task waits for that no service does, once each time that it changes."""
        said, seen = "", -1
        while True:
            await asyncio.sleep(WONDER_S)
            if self._after == seen:
                lack = await lacking(self._place, self._task)
                if lack and lack != said:
                    output.say(f"task {self._task} waits: {lack}")
                said = lack
            seen = self._after

    async def _own(self, platform: Platform) -> Record:
        self._platform = platform
        if lack := await platform.lacks(self._task):
            raise InvalidInput(f"task {self._task} cannot be gone on with here: {lack}")
        if self._handed:
            self._task, self._handed = await taken(self._place, self._task) or self._task, False
        async for event in platform.follow(self._task, self._after):
            self._after = event.header.seq
            self._live.take(event)
        await platform.settled(self._task)
        return await platform.record(self._task)

    async def _seen(self) -> Record | None:
        """Watch while others work on the task; return its record once it has ended. Where services work on it, they go
        on while the database is away from here, and so does this.
        """
        try:
            return await look(self._place, self._task) if await self._watched() else None
        except StorageUnavailable:
            if not self._place.served:
                raise
            return None

    async def _watched(self) -> bool:
        """Watch while another process owns the home; return whether the task has ended."""
        if self._handed:
            standing = await taken(self._place, self._task)
            if standing is None:
                return False
            self._task, self._handed = standing, False
        async with contextlib.aclosing(watch_place(self._place, self._task, self._after)) as events:
            async for event in events:
                self._after = event.header.seq
                self._live.take(event)
                if event.header.kind in TASK_ENDS:
                    return await self._settled()
        return False

    async def _settled(self) -> bool:
        """A task's last event is stored a moment before its result and bill: wait for these, while they may come."""
        while True:
            if (await look(self._place, self._task)).status in FINISHED:
                return True
            if not self._place.attended():
                return False
            await asyncio.sleep(WATCH_S)

    async def _shown(self, work: Coroutine[None, None, Record]) -> int:
        try:
            return self._show(await work, self._manner)
        except asyncio.CancelledError:
            kept = "goes on. See it with" if self._place.served else "is kept. Go on with"
            output.say(f"stopped; task {self._task} {kept}: multiagent tasks follow {self._task}")
            raise


async def _entered(stack: AsyncExitStack, place: Place) -> Platform | None:
    """Return the platform, open until the stack ends; None where another process owns the home, or services do all."""
    if place.served:
        return None
    try:
        return await stack.enter_async_context(open_platform(place.places, place.settings, os.environ))
    except EngineOwned:
        return None


def _greet(platform: Platform, manner: output.Manner) -> None:
    if manner.quiet:
        return
    if platform.offline_hint:
        output.say(platform.offline_hint)
    if platform.resumed:
        names = ", ".join(platform.resumed[:5]) + (" …" if len(platform.resumed) > 5 else "")
        output.say(f"taking up {len(platform.resumed)} unfinished task(s): {names}")
