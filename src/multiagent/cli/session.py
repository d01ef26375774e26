"""One stay with a task: submit it or hand it over, show it, take it over where its process is gone, print its end.

A signal stops the stay, never the task.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

from multiagent.app.ask import Ask
from multiagent.app.build import Platform, open_platform
from multiagent.app.follow import ENDS, WATCH_S
from multiagent.app.look import look
from multiagent.app.record import Record
from multiagent.app.sandbox import ensure_runtime
from multiagent.app.steer import FINISHED, hand_over, owner, taken, watch_home
from multiagent.cli import exits, output, report
from multiagent.cli.live import LiveView
from multiagent.config.settings import Places, Settings
from multiagent.core.errors import EngineOwned, PlatformError


async def ask(places: Places, settings: Settings, wanted: Ask, manner: output.Manner) -> int:
    """Submit, or hand over to the process that owns the home; follow and print; return the exit code."""
    await prepare(places, manner)
    async with AsyncExitStack() as stack:
        platform = await _entered(stack, places, settings)
        if platform is not None:
            _greet(platform, manner)
            task = await platform.submit(wanted)
            return await Stay(places, settings, task, manner).in_platform(platform)
    task = await hand_over(places, settings, wanted, os.environ)
    if not manner.quiet:
        output.say(f"task {task} is handed to process {owner(Path(places.home)) or 'unknown'}, which owns this home")
    return await Stay(places, settings, task, manner, handed=True).to_its_end()


async def take_up(places: Places, settings: Settings, task: str, manner: output.Manner) -> int:
    """Follow a task to its end, as the owner of its home where there is none; print its end."""
    await prepare(places, manner)
    return await Stay(places, settings, task, manner).to_its_end()


def show(record: Record, manner: output.Manner) -> int:
    """Print a task that ended; return the exit code."""
    if manner.json:
        output.as_json(report.as_json(record))
    else:
        output.answer(report.text(record))
    return report.exit_code(record)


async def prepare(places: Places, manner: output.Manner) -> None:
    """Build the sandbox's runtime where it is missing, with its progress shown."""

    def show_nothing(_stage: str, _fraction: float) -> None:
        return

    if manner.quiet:
        await asyncio.to_thread(ensure_runtime, Path(places.cache), show_nothing)
        return
    with output.Progress("sandbox runtime", first_use=True) as progress:
        await asyncio.to_thread(ensure_runtime, Path(places.cache), progress.show)


class Stay:
    """Shows one task until it has ended, whichever process works on it. ``handed``: its owner may still refuse it."""

    def __init__(
        self, places: Places, settings: Settings, task: str, manner: output.Manner, *, handed: bool = False
    ) -> None:
        self._places = places
        self._settings = settings
        self._home = Path(places.home)
        self._task = task
        self._manner = manner
        self._handed = handed
        self._after = 0
        self._live = LiveView(task, quiet=manner.quiet)

    async def to_its_end(self) -> int:
        """Watch, and take over as often as nobody owns the home. Of several that try, one wins; the others watch on."""
        with self._live:
            return await self._stopped_by_signals(self._anyhow())

    async def in_platform(self, platform: Platform) -> int:
        """Follow in the process that owns the home."""
        with self._live:
            return await self._stopped_by_signals(self._own(platform))

    async def _anyhow(self) -> Record:
        while True:
            if await self._watched():
                return await look(self._home, self._task)
            async with AsyncExitStack() as stack:
                platform = await _entered(stack, self._places, self._settings)
                if platform is not None:
                    _greet(platform, self._manner)
                    return await self._own(platform)
            await asyncio.sleep(WATCH_S)

    async def _own(self, platform: Platform) -> Record:
        async for event in platform.follow(self._task, self._after):
            self._after = event.header.seq
            self._live.take(event)
        await platform.settled(self._task)
        return await platform.record(self._task)

    async def _watched(self) -> bool:
        """Watch while another process owns the home; return whether the task has ended."""
        if self._handed:
            standing = await taken(self._home, self._task)
            if standing is None:
                return False
            self._task, self._handed = standing, False
        async with contextlib.aclosing(watch_home(self._home, self._task, self._after)) as events:
            async for event in events:
                self._after = event.header.seq
                self._live.take(event)
                if event.header.kind in ENDS:
                    return await self._settled()
        return False

    async def _settled(self) -> bool:
        """A task's last event is stored a moment before its result and bill: wait for these, while they may come."""
        while True:
            if (await look(self._home, self._task)).status in FINISHED:
                return True
            if owner(self._home) is None:
                return False
            await asyncio.sleep(WATCH_S)

    async def _stopped_by_signals(self, work: Coroutine[None, None, Record]) -> int:
        async with _signals() as stopped:
            working = asyncio.ensure_future(work)
            stopping = asyncio.create_task(stopped.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not working.done():
                working.cancel()
                with contextlib.suppress(asyncio.CancelledError, PlatformError):
                    await working
                output.say(f"stopped; task {self._task} is kept. Go on with: multiagent tasks follow {self._task}")
                return stopped.exit_code
        return show(await working, self._manner)


async def _entered(stack: AsyncExitStack, places: Places, settings: Settings) -> Platform | None:
    """Return the platform, open until the stack ends; None where another process owns the home."""
    try:
        return await stack.enter_async_context(open_platform(places, settings, os.environ))
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


class _Stop(asyncio.Event):
    """Set by a signal, with the exit code it means."""

    exit_code = exits.INTERRUPTED

    def take(self, code: int) -> None:
        """Stop, for this reason."""
        self.exit_code = code
        self.set()


@contextlib.asynccontextmanager
async def _signals() -> AsyncIterator[_Stop]:
    stop, loop = _Stop(), asyncio.get_running_loop()
    codes = {signal.SIGINT: exits.INTERRUPTED, signal.SIGTERM: exits.TERMINATED}
    for number, code in codes.items():
        loop.add_signal_handler(number, stop.take, code)
    try:
        yield stop
    finally:
        for number in codes:
            loop.remove_signal_handler(number)
