"""The one that fills the log of all tasks' events, wherever several processes would.

Whoever holds an advisory lock leads; a leader begins an epoch, and each of its transactions checks that its epoch is
the last: one that was paused, and lost its lock meanwhile, writes nothing any more. The others stand by.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from multiagent.core.errors import PlatformError
from multiagent.core.retry import Backoff
from multiagent.storage.sql.postgres.faults import RAISED
from multiagent.storage.sql.postgres.pool import connect
from multiagent.storage.sql.postgres.scribe import Connection

STANDBY_S: Final = 1.0
"""How often one that stands by asks for the lock."""

POLL_S: Final = 1.0
"""How often a leader looks for events that it heard nothing of."""

LEASE_S: Final = 5
"""A leader that the database does not hear of for so many seconds leads no longer."""

GATHER_S: Final = 0.02
"""How long a leader lets events gather, so that a busy time costs few transactions."""

MOST: Final = 5000
"""Events that get their places in one transaction, at the most."""

_LOCK: Final = 0x4D554C53
"""The advisory lock of whoever leads ("MULS")."""

_BACKOFF: Final = Backoff(base=0.2, most=5.0)

_TAKE: Final = "SELECT pg_try_advisory_lock($1)"
_EPOCH: Final = "UPDATE log_head SET epoch = epoch + 1 WHERE tenant_id = '' RETURNING epoch"
_FILL: Final = "SELECT fill_log($1, $2)"

_log = logging.getLogger("multiagent.sequencer")


class Sequencer:
    """Leads or stands by, on a connection of its own, until ``close``; ``leading`` says which."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._woken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.leading = False

    async def close(self) -> None:
        """Stop; another one may lead at once."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                async with _connected(self._url) as connection:
                    attempt = 0
                    await self._serve(connection)
            except (*RAISED, PlatformError) as error:
                _log.warning("the log of all events is filled later: %s", error)
            finally:
                self.leading = False
            await asyncio.sleep(_BACKOFF.delay(attempt, 0.0))
            attempt += 1

    async def _serve(self, connection: Connection) -> None:
        """Stand by, then lead, until the connection goes or another one leads."""
        await connection.execute(f"SET idle_session_timeout = '{LEASE_S}s'")
        while not await connection.fetchval(_TAKE, _LOCK):  # noqa: ASYNC110 — the lock is the database's
            await asyncio.sleep(STANDBY_S)
        epoch = await connection.fetchval(_EPOCH)
        await connection.add_listener("multiagent_events", lambda *_: self._woken.set())
        self.leading = True
        while True:
            self._woken.clear()
            placed = await fill(connection, epoch)
            if placed < 0:
                _log.warning("another process fills the log of all events; this one stands by")
                return
            if placed < MOST:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        await asyncio.sleep(GATHER_S)


async def fill(connection: Connection, epoch: int) -> int:
    """Give events that wait their places; return how many, -1 where a later epoch has begun (nothing is done then)."""
    return int(await connection.fetchval(_FILL, epoch, MOST))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        connection.terminate()
