"""One queue of times for everything that must happen later: durable timers, limits of attempts, heartbeats."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Final

from multiagent.core.clock import Clock

_EPSILON: Final = 1e-6
_COMPACT_FROM: Final = 256


class Entry:
    """Something that will be called; ``cancel`` forgets it."""

    __slots__ = ("_queue", "call", "order", "time")

    def __init__(self, queue: "TimerQueue", time: float, order: int, call: Callable[[], None]) -> None:
        self._queue = queue
        self.time = time
        self.order = order
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Do not call it."""
        if self.call is not None:
            self.call = None
            self._queue.cancelled()

    def __lt__(self, other: "Entry") -> bool:
        return (self.time, self.order) < (other.time, other.order)


class TimerQueue:
    """Calls back in the order of time, by the clock it is given; one task sleeps for all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[Entry] = []
        self._order = itertools.count()
        self._dead = 0
        self._sleeper: asyncio.Task[None] | None = None
        self._target = 0.0
        self._closed = False

    def after(self, seconds: float, call: Callable[[], None]) -> Entry:
        """Call back after so many seconds."""
        entry = Entry(self, self._clock.monotonic() + max(0.0, seconds), next(self._order), call)
        if not self._closed:
            heapq.heappush(self._heap, entry)
            self._arm()
        return entry

    def at(self, due: int, call: Callable[[], None]) -> Entry:
        """Call back once the wall clock shows ``due`` (milliseconds UTC)."""
        return self.after((due - self._clock.now()) / 1000, call)

    def cancelled(self) -> None:
        """Count a cancelled entry; rebuild the heap when most of it is dead."""
        self._dead += 1
        if self._dead > _COMPACT_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry.call is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def _arm(self) -> None:
        first = self._heap[0].time
        if self._sleeper is not None:
            if self._target <= first:
                return
            self._sleeper.cancel()
        self._target = first
        self._sleeper = asyncio.get_running_loop().create_task(self._sleep(), name="engine-timers")

    async def _sleep(self) -> None:
        while self._heap and not self._closed:
            self._target = self._heap[0].time
            wait = self._target - self._clock.monotonic()
            if wait > _EPSILON:
                await self._clock.sleep(wait)
            self._call_due()
        self._sleeper = None

    def _call_due(self) -> None:
        now = self._clock.monotonic() + _EPSILON
        while self._heap and self._heap[0].time <= now:
            entry = heapq.heappop(self._heap)
            call, entry.call = entry.call, None
            if call is None:
                self._dead = max(0, self._dead - 1)
            else:
                call()

    async def close(self) -> None:
        """Forget everything."""
        self._closed = True
        self._heap.clear()
        if self._sleeper is not None:
            self._sleeper.cancel()
            await asyncio.gather(self._sleeper, return_exceptions=True)
            self._sleeper = None
