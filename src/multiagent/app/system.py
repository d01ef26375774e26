"""The real clock and the real ids."""

import asyncio
import secrets
import time

from multiagent.core.ids import ulid


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)


class SystemIds:
    """ULIDs of the machine's time with 80 random bits; within a millisecond they count up."""

    def __init__(self) -> None:
        self._last_ms = 0
        self._random = 0

    def __call__(self) -> str:
        """Return a new id, ordered after all ids made here before."""
        now = max(time.time_ns() // 1_000_000, self._last_ms)
        if now == self._last_ms:
            self._random += 1
        else:
            self._last_ms = now
            self._random = secrets.randbits(79)
        return ulid(now, self._random)
