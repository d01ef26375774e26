"""Short-lived keys in this process: least recently used first out, each with its time to live."""

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
        self._keep(key, self._kept[key][0], total)
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
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
