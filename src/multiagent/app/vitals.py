"""How a process that serves is: what it depends on, asked one by one, and what it counts."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from multiagent.agents.steps import Steps
from multiagent.app.metering import Meter
from multiagent.app.roles import Room
from multiagent.config.settings import ServeSettings
from multiagent.core.clock import Clock
from multiagent.core.errors import EngineUnavailable, PlatformError, SandboxUnbuilt
from multiagent.sandbox.factory import is_built
from multiagent.storage.factory import Storage
from multiagent.telemetry.health import Health
from multiagent.telemetry.metrics import Look, Metrics
from multiagent.telemetry.pages import open_pages

SAY_S: Final = 10.0
"""What a process waits for is said again after so many seconds."""

_log = logging.getLogger("multiagent.serve")


class Listening(msgspec.Struct, frozen=True):
    """Where a process that serves can be looked at."""

    services: tuple[str, ...]
    pid: int
    engine: str
    health: str
    metrics: str


class Vitals:
    """Health and metrics of one process. It is unready until all that it opens has been shown to it."""

    def __init__(self, clock: Clock) -> None:
        self.health = Health(clock)
        self.metrics = Metrics()
        self._clock = clock
        self._meter = Meter(self.metrics, clock)
        self._said: tuple[str, float] = ("", 0.0)
        self._open = False
        self.health.register("start", self._started)

    async def listen(self, stack: AsyncExitStack, where: ServeSettings, offset: int) -> tuple[str, str]:
        """Serve the pages until the stack ends; return the addresses of the one on health and that on metrics.

        The ports are those configured, so many further on. Raises ConfigInvalid where one cannot be had.
        """
        ports = [port + offset if port else 0 for port in (where.health_port, where.metrics_port)]
        pages = (self.health.pages(), self.metrics.pages())
        health, metrics = [
            await stack.enter_async_context(open_pages(where.host, port, one))
            for port, one in zip(ports, pages, strict=True)
        ]
        return f"http://{where.host}:{health}/health/ready", f"http://{where.host}:{metrics}/metrics"

    def storage(self, storage: Storage) -> Storage:
        """Be ready only while storage answers; return the same storage, with what is written first here counted."""

        async def answers() -> None:
            await storage.reader.commands(1)

        self.health.register("storage", answers)
        if storage.load is not None:
            self.metrics.look(Look("connections", "Connections to PostgreSQL", "state", storage.load))
        return self._meter.storage(storage)

    def room(self, room: Room, cache: Path) -> Steps:
        """Be ready only while the sandbox is there, where it is needed; return the steps of the room, counted."""

        async def built() -> None:
            if not is_built(cache):
                raise SandboxUnbuilt("the sandbox's runtime is not built; build it: multiagent sandbox build")

        self.health.register("policy", room.policy.check)
        if room.sandbox.workers():
            self.health.register("sandbox", built)
            self.metrics.look(Look("sandbox", "The sandbox's workers and who waits for one", "state", room.workers))
        if room.gate is not None:
            self.metrics.look(
                Look("breaker", "Breakers of endpoints: 0 closed, 0.5 half open, 1 open", "endpoint", room.breakers)
            )
        return self._meter.steps(room.steps)

    def engine(self, check: Callable[[], Awaitable[None]]) -> None:
        """Be ready only while the engine is."""
        self.health.register("engine", check)

    def commands(self, waiting: Callable[[], int]) -> None:
        """Show how many commands wait to be delivered."""
        look = Look("commands_waiting", "Commands not yet delivered", "of", lambda: {"dispatcher": waiting()})
        self.metrics.look(look)

    def opened(self) -> None:
        """All that this process needs is open."""
        self._open, self._said = True, ("", 0.0)

    def waits(self, error: PlatformError) -> None:
        """Say what this process waits for: once, and again after some seconds."""
        now, (what, when) = self._clock.monotonic(), self._said
        if what != error.message or now - when >= SAY_S:
            _log.warning("waiting: %s: %s", error.code, error.message)
            self._said = (error.message, now)

    async def _started(self) -> None:
        if not self._open:
            raise EngineUnavailable(self._said[0] or "it is starting")
