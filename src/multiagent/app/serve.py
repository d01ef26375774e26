"""`multiagent serve`: a process that does the work of its services until it is asked to stop, and then ends in order.

It listens for those who watch it at once, also while what it depends on is away: it waits, and is not ready meanwhile.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from multiagent.app.build import open_platform
from multiagent.app.place import Place
from multiagent.app.roles import SERVICES
from multiagent.app.system import SystemClock
from multiagent.app.vitals import Listening, Vitals
from multiagent.core.errors import ConfigInvalid, EngineOwned, PlatformError
from multiagent.core.step import Queue

LOOK_S: Final = 0.5
"""How often it is tried again to open what is away."""

_log = logging.getLogger("multiagent.serve")


@dataclass(frozen=True, slots=True)
class Serving:
    """What a process is to serve: where, which services, and until when."""

    place: Place
    services: tuple[Queue, ...]
    environment: Mapping[str, str]
    stopped: asyncio.Event

    @property
    def offset(self) -> int:
        """How far its ports are from the first ones: each service has its own, all of them together the first."""
        return SERVICES.index(self.services[0]) if len(self.services) == 1 else 0


async def serve(serving: Serving, tell: Callable[[Listening], None]) -> None:
    """Do the work of these services until stopped; then begin no step, let running ones end, and leave.

    ``tell`` is called once it listens. Raises ConfigInvalid where the settings do not go together or a port is taken,
    PolicyBroken, StorageError's children that waiting does not mend.
    """
    settings = serving.place.settings
    check_together(serving)
    vitals = Vitals(SystemClock())
    async with AsyncExitStack() as stack:
        health, metrics = await vitals.listen(stack, settings.serve, serving.offset)
        tell(Listening(serving.services, os.getpid(), settings.engine, health, metrics))
        if settings.engine == "embedded":
            await alone(serving, vitals)
        else:
            from multiagent.app.served import together

            await together(serving, vitals)


def check_together(serving: Serving) -> None:
    """Raise ConfigInvalid where these services cannot be served with these settings."""
    settings, services = serving.place.settings, serving.services
    if len(services) == len(SERVICES):
        return
    if settings.engine == "embedded":
        raise ConfigInvalid(
            f"`serve {services[0]}` needs `engine: temporal`; the embedded engine is one process: `multiagent serve`"
        )
    if not settings.storage.url:
        raise ConfigInvalid(
            f"`serve {services[0]}` needs a database that several processes share: set storage.url to "
            "postgresql://…, or do all in one process: `multiagent serve`"
        )


async def alone(serving: Serving, vitals: Vitals) -> None:
    """Own the home, after whoever owns it now, and do all there is until stopped."""
    place = serving.place
    while not serving.stopped.is_set():
        async with AsyncExitStack() as stack:
            try:
                platform = await stack.enter_async_context(
                    open_platform(place.places, place.settings, serving.environment, vitals)
                )
            except PlatformError as error:
                if not error.retryable and not isinstance(error, EngineOwned):
                    raise
                vitals.waits(error)
            else:
                vitals.opened()
                _log.info("gone on with: %s", ", ".join(platform.resumed) or "nothing")
                await serving.stopped.wait()
                leave(serving, vitals)
                await platform.drain(place.settings.serve.drain_s)
                return
        await pause(serving.stopped)


def leave(serving: Serving, vitals: Vitals) -> None:
    """Be ready no more, and say that this process ends."""
    vitals.health.leave()
    _log.info("asked to stop: running steps have %g s to end", serving.place.settings.serve.drain_s)


async def pause(stopped: asyncio.Event) -> None:
    """Wait a moment, or until stopped."""
    try:
        async with asyncio.timeout(LOOK_S):
            await stopped.wait()
    except TimeoutError:
        return
