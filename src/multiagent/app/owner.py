"""The background owner: a process that does what its home has to do, and ends when that is nothing for some seconds.

Started by ``app.detach``. SIGTERM and SIGINT drain it: no step begins any more, running ones have a bounded time to
end, and the rest is left to be gone on with.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from multiagent.app.leaving import waiting
from multiagent.app.place import Place
from multiagent.app.system import SystemClock
from multiagent.app.timekeeping import expected, people_s
from multiagent.config.settings import Settings
from multiagent.config.sources import load, places
from multiagent.core.errors import EngineOwned, PlatformError
from multiagent.engines.factory import own_home

if TYPE_CHECKING:
    from multiagent.app.build import Platform

LOOK_S: Final = 0.2
BACKGROUND: Final = "background"
"""The folder whose lock the one background owner of a home holds, also while it waits for its turn."""

_log = logging.getLogger("multiagent.owner")


async def serve(place: Place, stopped: asyncio.Event) -> None:
    """Own the home, after whoever owns it now, until nothing is to do or until stopped.

    Raises what ``open_platform`` raises, but for EngineOwned: then the turn of this process is yet to come.
    """
    while not stopped.is_set():
        if place.owner() is None:
            async with AsyncExitStack() as stack:
                platform = await _entered(stack, place)
                if platform is not None:
                    await _work(platform, place.settings, stopped)
                    return
        elif not await _anything(place):
            return
        await _pause(stopped)


async def _entered(stack: AsyncExitStack, place: Place) -> "Platform | None":
    from multiagent.app.build import open_platform

    try:
        return await stack.enter_async_context(open_platform(place.places, place.settings, os.environ))
    except EngineOwned:
        return None


async def _work(platform: "Platform", settings: Settings, stopped: asyncio.Event) -> None:
    _log.info("process %d owns the home; gone on with: %s", os.getpid(), ", ".join(platform.resumed) or "nothing")
    busy = time.monotonic()
    while not stopped.is_set() and time.monotonic() - busy < settings.owner.idle_s:
        if await platform.busy():
            busy = time.monotonic()
        await _pause(stopped)
    if stopped.is_set():
        _log.info("asked to stop: running steps have %g s to end", settings.owner.drain_s)
        await platform.drain(settings.owner.drain_s)
    _log.info("process %d leaves the home", os.getpid())


async def _anything(place: Place) -> bool:
    """Whether there is, or may soon be, something to do in a home that another process owns."""
    if await waiting(place):
        return True
    async with place.reader() as reader:
        if reader is None:
            return False
        under_way = any(row.status != "paused" for row in people_s(await reader.unfinished()))
        return under_way or await expected(reader, SystemClock().now())


async def _pause(stopped: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_S):
            await stopped.wait()
    except TimeoutError:
        return


async def alone(place: Place, stopped: asyncio.Event) -> None:
    """Serve, unless another background owner of this home does or waits for its turn: one is enough.

    A command is in the inbox before its background owner is started, so one that leaves looks there once more after
    it has given up its place: who found the place taken has gone, and left the command to it.
    """
    while not stopped.is_set():
        try:
            with own_home(place.home / BACKGROUND):
                await serve(place, stopped)
        except EngineOwned:
            return
        if not await _left_over(place):
            return


async def _left_over(place: Place) -> bool:
    if place.owner() is not None:
        return await _anything(place)
    return await waiting(place)


async def _main() -> int:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    where = places(os.environ)
    try:
        await alone(Place(where, load(Path(where.home), os.environ)), stopped)
    except PlatformError as error:
        _log.error("%s: %s", error.code, error.message)
        return 1
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(asyncio.run(_main()))
