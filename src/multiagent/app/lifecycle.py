"""Work that goes on while the platform is open."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def background(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run ``work`` beside the block and cancel it at its end.

    Work that fails ends the block at once, which then raises its error: nobody waits for what will never come.
    """
    block = asyncio.current_task()
    task = asyncio.create_task(work)

    def stop(ended: asyncio.Task[Any]) -> None:
        if block is not None and not ended.cancelled() and ended.exception() is not None:
            block.cancel()

    task.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError:
        if block is None or not _failed(task):
            raise
        block.uncancel()
    finally:
        task.remove_done_callback(stop)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
