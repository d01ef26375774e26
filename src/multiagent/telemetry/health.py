"""Whether a process lives, and whether it can work: one registered check for each thing that it depends on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import PlatformError
from multiagent.telemetry.pages import Page, Pages

DEADLINE_S: Final = 5.0
"""So long a check may take; what takes longer has failed."""

Check = Callable[[], Awaitable[None]]
"""Asks a dependency whether it is there; raises a PlatformError, or an OSError, where it is not."""


class Checked(msgspec.Struct, frozen=True):
    """What became of one check; ``seconds`` is what it took."""

    status: Literal["ok", "failed"]
    seconds: float
    message: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """What ``/health/ready`` answers: 200 where it is ready, else 503."""

    status: Literal["ready", "unready", "draining"]
    checks: dict[str, Checked]


class Health:
    """The checks of one process. Readers that come while a round is under way are answered by that round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._checks: dict[str, Check] = {}
        self._round: asyncio.Task[Readiness] | None = None
        self._leaving = False

    def register(self, name: str, check: Check) -> None:
        """From now on be ready only where this check passes; a name that is known gets the new check."""
        self._checks[name] = check

    def leave(self) -> None:
        """Be ready no more: this process ends soon."""
        self._leaving = True

    async def ready(self) -> Readiness:
        """Ask every dependency at once and return what each said, within five seconds."""
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._round)

    async def _ask(self) -> Readiness:
        names = tuple(self._checks)
        found = await asyncio.gather(*(self._one(self._checks[name]) for name in names))
        well = all(one.status == "ok" for one in found)
        status: Literal["ready", "unready", "draining"] = "ready" if well else "unready"
        return Readiness("draining" if self._leaving else status, dict(zip(names, found, strict=True)))

    async def _one(self, check: Check) -> Checked:
        began = self._clock.monotonic()
        asking = asyncio.ensure_future(check())
        late = asyncio.ensure_future(self._clock.sleep(DEADLINE_S))
        try:
            await asyncio.wait((asking, late), return_when=asyncio.FIRST_COMPLETED)
            message = said(asking) if asking.done() else f"no answer within {DEADLINE_S:g} s"
        finally:
            asking.cancel()
            late.cancel()
        took = round(self._clock.monotonic() - began, 6)
        return Checked("failed" if message else "ok", took, message)

    def pages(self) -> Pages:
        """Return the pages ``/health/live`` and ``/health/ready``."""
        return {"/health/live": self._live_page, "/health/ready": self._ready_page}

    async def _live_page(self) -> Page:
        return Page(b'{"status":"live"}')

    async def _ready_page(self) -> Page:
        found = await self.ready()
        return Page(msgspec.json.encode(found), status=200 if found.status == "ready" else 503)


def said(asking: "asyncio.Future[None]") -> str:
    """Return why a check that is done has failed; nothing where it passed. Raises what is no PlatformError."""
    try:
        asking.result()
    except PlatformError as error:
        return f"{error.code}: {error.message}"
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return ""
