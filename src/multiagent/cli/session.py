"""One stay in the platform: submit or take up a task, show it, print its end. Signals leave it resumable."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from multiagent.app.ask import Ask
from multiagent.app.build import Platform, open_platform
from multiagent.app.record import Record
from multiagent.app.sandbox import ensure_runtime
from multiagent.cli import exits, output, report
from multiagent.cli.live import LiveView
from multiagent.config.settings import Places, Settings


async def ask(places: Places, settings: Settings, wanted: Ask, manner: output.Manner) -> int:
    """Submit, follow and print; return the exit code."""
    await _runtime(places, manner)
    async with open_platform(places, settings, os.environ) as platform:
        _greet(platform, manner)
        task = await platform.submit(wanted)
        return await _to_its_end(platform, task, manner)


async def take_up(places: Places, settings: Settings, task: str, manner: output.Manner) -> int:
    """Become the owner, resume a task that is not finished, follow it and print its end."""
    await _runtime(places, manner)
    async with open_platform(places, settings, os.environ) as platform:
        _greet(platform, manner)
        return await _to_its_end(platform, task, manner)


def show(record: Record, manner: output.Manner) -> int:
    """Print a task that ended; return the exit code."""
    if manner.json:
        output.as_json(report.as_json(record))
    else:
        output.answer(report.text(record))
    return report.exit_code(record)


async def _runtime(places: Places, manner: output.Manner) -> None:
    def show_nothing(_stage: str, _fraction: float) -> None:
        return

    if manner.quiet:
        await asyncio.to_thread(ensure_runtime, Path(places.cache), show_nothing)
        return
    with output.Progress("sandbox runtime", first_use=True) as progress:
        await asyncio.to_thread(ensure_runtime, Path(places.cache), progress.show)


def _greet(platform: Platform, manner: output.Manner) -> None:
    if manner.quiet:
        return
    if platform.offline_hint:
        output.say(platform.offline_hint)
    if platform.resumed:
        names = ", ".join(platform.resumed[:5]) + (" …" if len(platform.resumed) > 5 else "")
        output.say(f"taking up {len(platform.resumed)} unfinished task(s): {names}")


async def _to_its_end(platform: Platform, task: str, manner: output.Manner) -> int:
    async with _signals() as stopped:
        following = asyncio.create_task(_follow(platform, task, manner))
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not following.done():
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            output.say(f"stopped; task {task} is kept. Go on with: multiagent tasks follow {task}")
            return stopped.exit_code
        await following
    return show(await platform.record(task), manner)


async def _follow(platform: Platform, task: str, manner: output.Manner) -> None:
    with LiveView(task, quiet=manner.quiet) as live:
        async for event in platform.follow(task):
            live.take(event)
    await platform.settled(task)


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
