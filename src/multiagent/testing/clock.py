"""Clocks that tests move."""

import asyncio
import contextlib
import time


class ManualClock:
    """Time stands still until ``advance``; sleepers wake in the order of their times."""

    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self._now = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> int:
        """Milliseconds UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds."""
        return self._now / 1000

    async def sleep(self, seconds: float) -> None:
        """Wait until ``advance`` has moved time on far enough."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + round(seconds * 1000), self._count, woken)
        self._sleepers.append(entry)
        try:
            await woken
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    @property
    def sleepers(self) -> int:
        """How many are waiting."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move time on, waking every sleeper whose time has come."""
        self._now += round(seconds * 1000)
        due = sorted(entry for entry in self._sleepers if entry[0] <= self._now)
        for entry in due:
            self._sleepers.remove(entry)
            if not entry[2].done():
                entry[2].set_result(None)


class PushedClock:
    """The machine's time, which ``advance`` pushes on: sleepers wake when their time has come either way.

    For what runs together with a server, whose time nobody moves.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> int:
        """Milliseconds UTC."""
        return int((time.time() + self._ahead) * 1000)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Wait until so much time has passed, or was pushed on."""
        due, pushed = self.monotonic() + seconds, asyncio.Event()
        entry = (due, pushed)
        self._sleepers.append(entry)
        try:
            while (left := due - self.monotonic()) > 0:
                pushed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(pushed.wait(), left)
        finally:
            self._sleepers.remove(entry)

    @property
    def sleepers(self) -> int:
        """How many are waiting."""
        return len(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Push time on, waking every sleeper whose time has come."""
        self._ahead += seconds
        for _, pushed in self._sleepers:
            pushed.set()
