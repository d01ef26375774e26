"""What other processes committed, as PostgreSQL tells it: one listening connection a process.

Only a hint that it is time to look: where the connection is away, all who listen are told from time to time, and once
when it is back, as anything may have happened meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from multiagent.core.errors import PlatformError
from multiagent.core.retry import Backoff
from multiagent.storage.sql.postgres.faults import RAISED
from multiagent.storage.sql.postgres.pool import connect
from multiagent.storage.sql.postgres.scribe import Connection

POLL_S: Final = 1.0
"""How often those who listen are told while nothing can be heard."""

CHECK_S: Final = 5.0
"""How often a silent connection is asked whether it is there."""

EVENTS: Final = "multiagent_events"
RELEASED: Final = "multiagent_released"
COMMANDS: Final = "multiagent_commands"

_BACKOFF: Final = Backoff(base=0.2, most=5.0)

_log = logging.getLogger("multiagent.notices")


class PostgresNotices:
    """See ``Notices``. Made by ``open``, bound to the event loop that it was made on, until ``close``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._events: list[Callable[[str, str], None]] = []
        self._others: dict[str, list[Callable[[], None]]] = {RELEASED: [], COMMANDS: []}
        self._gone = asyncio.Event()
        self._tried = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    @classmethod
    async def open(cls, url: str) -> "PostgresNotices":
        """Begin to listen; return once that has worked or failed, the latter to be tried again."""
        notices = cls(url)
        await notices._tried.wait()
        return notices

    def on_event(self, listener: Callable[[str, str], None]) -> Callable[[], None]:
        """See ``Notices.on_event``."""
        self._events.append(listener)
        return lambda: self._events.remove(listener)

    def on_command(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See ``Notices.on_command``."""
        return self._listen(COMMANDS, listener)

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        """See ``Notices.on_release``."""
        return self._listen(RELEASED, listener)

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _listen(self, channel: str, listener: Callable[[], None]) -> Callable[[], None]:
        listeners = self._others[channel]
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def _hear(self, _connection: object, _process: int, channel: str, payload: object) -> None:
        if channel == EVENTS:
            tenant, _, task = str(payload).partition(" ")
            for told in tuple(self._events):
                told(tenant, task)
        else:
            for listener in tuple(self._others[channel]):
                listener()

    def _anything(self) -> None:
        """Tell everyone to look."""
        self._hear(None, 0, EVENTS, "")
        for channel in self._others:
            self._hear(None, 0, channel, "")

    async def _run(self) -> None:
        attempt, said = 0, ""
        while True:
            try:
                connection = await connect(self._url)
                try:
                    await self._attend(connection)
                finally:
                    connection.terminate()
                attempt, said = 0, ""
            except (*RAISED, PlatformError) as error:
                if said != str(error):
                    _log.warning("what other processes do is looked for instead of heard: %s", error)
                said = str(error)
            self._tried.set()
            await self._poll(_BACKOFF.delay(attempt, 0.0))
            attempt += 1

    async def _attend(self, connection: Connection) -> None:
        """Listen until the connection is gone."""
        self._gone.clear()
        connection.add_termination_listener(lambda _: self._gone.set())
        for channel in (EVENTS, *self._others):
            await connection.add_listener(channel, self._hear)
        if self._tried.is_set():
            self._anything()
        self._tried.set()
        while not connection.is_closed():
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._gone.wait()
            if not connection.is_closed():
                await connection.fetchval("SELECT 1", timeout=CHECK_S)

    async def _poll(self, seconds: float) -> None:
        while seconds > 0:
            self._anything()
            await asyncio.sleep(min(seconds, POLL_S))
            seconds -= POLL_S
