"""What the host does for a running guest: rings at its deadline, sleeps in its place, takes its output."""

import threading
import time
from collections.abc import Callable

import wasmtime

TICK_S = 1.0


class HostRefused(Exception):
    """The host refuses what the guest asks for: its run ends."""


class Alarm:
    """Advances an engine's epoch once a run's deadline has passed, from a thread of its own.

    ``on_tick`` is called about once a second, whatever happens.
    """

    def __init__(self, engine: wasmtime.Engine, on_tick: Callable[[], None]) -> None:
        self._engine = engine
        self._on_tick = on_tick
        self._condition = threading.Condition()
        self._deadline: float | None = None
        self.rang = False
        threading.Thread(target=self._watch, name="alarm", daemon=True).start()

    def set(self, deadline: float) -> None:
        """Ring at ``deadline`` (``time.monotonic``) unless cleared before."""
        with self._condition:
            self.rang = False
            self._deadline = deadline
            # The thread looks once a second anyway; waking it costs more than a small program.
            if deadline - time.monotonic() < TICK_S:
                self._condition.notify()

    def clear(self) -> None:
        """Do not ring any more; once this returns no epoch will be advanced for the last run."""
        with self._condition:
            self._deadline = None

    def sleep(self, seconds: float) -> None:
        """Wait in the guest's place, at most until the alarm rings."""
        end = time.monotonic() + seconds
        with self._condition:
            while not self.rang and (left := end - time.monotonic()) > 0:
                self._condition.wait(min(left, TICK_S))

    def _watch(self) -> None:
        while True:
            with self._condition:
                now = time.monotonic()
                if self._deadline is not None and now >= self._deadline:
                    self._deadline = None
                    self.rang = True
                    self._engine.increment_epoch()
                    self._condition.notify_all()
                self._condition.wait(TICK_S if self._deadline is None else min(TICK_S, self._deadline - now))
            self._on_tick()


class Output:
    """Collects what a guest writes to its two channels, up to a limit for both together."""

    def __init__(self, limit: int, overflow: Callable[[], None]) -> None:
        self.left = limit
        self._overflow = overflow
        self.flooded = False
        self.stdout = bytearray()
        self.stderr = bytearray()

    def sink(self, channel: bytearray) -> Callable[[bytes], int]:
        """Return the callback for one channel; it takes all and keeps what fits."""

        def write(data: bytes) -> int:
            kept = data[: self.left]
            channel.extend(kept)
            self.left -= len(kept)
            if len(kept) < len(data) and not self.flooded:
                self.flooded = True
                self._overflow()
            return len(data)

        return write
