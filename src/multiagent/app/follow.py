"""Follows a task's events as they are stored, from any point, missing none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from multiagent.core.events import Event, EventHeader, EventKind
from multiagent.storage.sql.base import Reader, Writer

POLL_S: Final = 0.2
"""How often the store is looked at when the events are another process's."""

WATCH_S: Final = 0.1
"""The same, for a terminal that watches and may have to take over."""

ENDS: Final = frozenset(
    {EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED, EventKind.TASK_QUARANTINED}
)
"""The kinds that end a task."""


async def watch(reader: Reader, tenant: str, task: str, after: int, owned: Callable[[], bool]) -> AsyncIterator[Event]:
    """Yield the events of a task that another process works on, until its last, or until nobody owns the home."""
    while True:
        alive = owned()
        events = await reader.events(tenant, task, after)
        for event in events:
            after = event.header.seq
            yield event
            if event.header.kind in ENDS:
                return
        if not events:
            if not alive:
                return
            await asyncio.sleep(WATCH_S)


async def follow(reader: Reader, writer: Writer | None, tenant: str, task: str, after: int = 0) -> AsyncIterator[Event]:
    """Yield a task's events with ``seq`` over ``after``, then new ones, until its last.

    Wakes at each commit of this process's writer; without one it polls.
    """
    news = asyncio.Event()

    def wake(headers: "tuple[EventHeader, ...] | list[EventHeader]") -> None:
        if any(header.task == task for header in headers):
            news.set()

    unsubscribe = writer.on_commit(lambda headers: wake(list(headers))) if writer is not None else None
    try:
        while True:
            news.clear()
            events = await reader.events(tenant, task, after)
            for event in events:
                after = event.header.seq
                yield event
                if event.header.kind in ENDS:
                    return
            if not events:
                await _pause(news, 5.0 if writer is not None else POLL_S)
    finally:
        if unsubscribe is not None:
            unsubscribe()


async def _pause(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return
