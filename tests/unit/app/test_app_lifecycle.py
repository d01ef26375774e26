"""Work beside the open platform: it ends with it, and its failure ends it."""

import asyncio

import pytest

from multiagent.app.lifecycle import background
from multiagent.core.errors import StorageCorrupt


async def test_work_is_cancelled_at_the_end_of_the_block() -> None:
    """And the block's own value is not touched."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with background(work()):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_work_that_fails_ends_a_block_that_waits() -> None:
    """Its error is raised instead of a wait without end; the caller's task can go on."""

    async def work() -> None:
        raise StorageCorrupt("the file is damaged")

    with pytest.raises(StorageCorrupt):
        async with background(work()):
            await asyncio.Event().wait()
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_cancelled_block_stays_cancelled() -> None:
    """A cancel from outside is no failure of the work."""

    async def block() -> None:
        async with background(asyncio.Event().wait()):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
