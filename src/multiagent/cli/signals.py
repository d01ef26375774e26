"""What a signal does: the first one stops what is under way, in good order; a second one ends the process at once.

Ending at once is safe at any moment: what is committed is kept, all else is taken up again.
"""

import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


def catch() -> None:
    """From now on the first signal raises SystemExit with its exit code (128 + number), and a second one ends all."""
    for number in NUMBERS:
        signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    _insist()
    raise SystemExit(128 + number)


def _insist() -> None:
    for number in NUMBERS:
        signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None = None) -> None:
    os._exit(128 + number)


async def until_drained(work: Callable[["asyncio.Event"], Coroutine[None, None, int]]) -> int:
    """Do the work and return its exit code; a signal sets the event it is given, a second one ends the process."""
    import asyncio  # signals must be caught before anything that takes time to load

    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def take(number: int) -> None:
        if stopped.is_set():
            _leave(number)
        stopped.set()

    for number in NUMBERS:
        loop.add_signal_handler(number, take, number)
    try:
        return await work(stopped)
    finally:
        for number in NUMBERS:
            loop.remove_signal_handler(number)
        if stopped.is_set():
            _insist()
        else:
            catch()


async def until_stopped(work: Coroutine[None, None, int]) -> int:
    """Do the work and return its exit code; at a signal cancel it, wait for its end, and return the signal's code."""
    import asyncio  # signals must be caught before anything that takes time to load

    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def take(number: int) -> None:
        if stop.done():
            _leave(number)
        stop.set_result(number)

    for number in NUMBERS:
        loop.add_signal_handler(number, take, number)
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        return 128 + stop.result()
    finally:
        for number in NUMBERS:
            loop.remove_signal_handler(number)
        if stop.done():
            _insist()
        else:
            catch()
