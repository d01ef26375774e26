"""Follows a task's events as they are stored, from any point, missing none."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from multiagent.core.events import TASK_ENDS, Event, EventHeader
from multiagent.storage.sql.base import Notices, Reader, Writer

POLL_S: Final = 0.2
"""How often the store is looked at when the events are another process's."""

WATCH_S: Final = 0.1
"""The same, for a terminal that watches and may have to take over."""


async def watch(reader: Reader, tenant: str, task: str, after: int, owned: Callable[[], bool]) -> AsyncIterator[Event]:
    """Yield the events of a task that another process works on, until its last, or until nobody owns the home."""
    while True:
        alive = owned()
        events = await reader.events(tenant, task, after)
        for event in events:
            after = event.header.seq
            yield event
            if event.header.kind in TASK_ENDS:
                return
        if not events:
            if not alive:
                return
            await asyncio.sleep(WATCH_S)


async def follow(
    reader: Reader, writer: Writer | None, tenant: str, task: str, after: int = 0, notices: Notices | None = None
) -> AsyncIterator[Event]:
    """Yield a task's events with ``seq`` over ``after``, then new ones, until its last.

    Wakes at each commit of this process's writer, and of others where ``notices`` tells of them; without a writer it
    polls.
    """
    news = asyncio.Event()
    stops = _subscribed(news, writer, notices, tenant, task)
    try:
        while True:
            news.clear()
            events = await reader.events(tenant, task, after)
            for event in events:
                after = event.header.seq
                yield event
                if event.header.kind in TASK_ENDS:
                    return
            if not events:
                await _pause(news, 5.0 if writer is not None else POLL_S)
    finally:
        for stop in stops:
            stop()


def _subscribed(
    news: asyncio.Event, writer: Writer | None, notices: Notices | None, tenant: str, task: str
) -> list[Callable[[], None]]:
    """Set ``news`` when a task has a new event, or may have; return the unsubscribers."""

    def wake(headers: Sequence[EventHeader]) -> None:
        if any(header.task == task for header in headers):
            news.set()

    def hear(whose: str, which: str) -> None:
        if (whose, which) in {(tenant, task), ("", "")}:
            news.set()

    stops = [] if writer is None else [writer.on_commit(wake)]
    if notices is not None:
        stops.append(notices.on_event(hear))
    return stops


async def _pause(news: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return
