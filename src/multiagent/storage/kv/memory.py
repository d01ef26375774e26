"""Short-lived keys in this process: the dead make room first, then the least recently used."""

import heapq
from collections import OrderedDict
from typing import Final

from multiagent.core.clock import Clock

MOST: Final = 10_000


class MemoryKeyValue:
    """See ``KeyValue``. Holds ``most`` keys; times are the clock's monotonic seconds."""

    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[str, tuple[float, bytes | int]] = OrderedDict()
        self._ends: list[tuple[float, str]] = []
        """A heap of when keys end; also of keys that were replaced since, which are passed over."""

    async def get(self, key: str) -> bytes | None:
        """See ``KeyValue.get``; a counter reads as its decimal digits."""
        value = self._live(key)
        if value is None:
            return None
        self._kept.move_to_end(key)
        return str(value).encode() if isinstance(value, int) else value

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """See ``KeyValue.put``."""
        self._keep(key, self._clock.monotonic() + ttl_s, value)

    async def delete(self, key: str) -> None:
        """See ``KeyValue.delete``."""
        self._kept.pop(key, None)

    async def add(self, key: str, amount: int, ttl_s: float) -> int:
        """See ``KeyValue.add``; ValueError where the key holds bytes that are no number."""
        value = self._live(key)
        if value is None:
            self._keep(key, self._clock.monotonic() + ttl_s, amount)
            return amount
        total = int(value) + amount
        self._kept[key] = (self._kept[key][0], total)
        self._kept.move_to_end(key)
        return total

    def _live(self, key: str) -> bytes | int | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] <= self._clock.monotonic():
            del self._kept[key]
            return None
        return kept[1]

    def _keep(self, key: str, until: float, value: bytes | int) -> None:
        self._kept[key] = (until, value)
        self._kept.move_to_end(key)
        heapq.heappush(self._ends, (until, key))
        if len(self._kept) > self._most:
            self._bury()
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        if len(self._ends) > 2 * self._most:
            self._ends = [(kept[0], name) for name, kept in self._kept.items()]
            heapq.heapify(self._ends)

    def _bury(self) -> None:
        now = self._clock.monotonic()
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            self._live(key)
