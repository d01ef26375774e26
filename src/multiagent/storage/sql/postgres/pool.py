"""Connections to PostgreSQL: bounded, each wait for one with a deadline, dropped where they are broken."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from multiagent.core.errors import ConfigInvalid, StorageUnavailable
from multiagent.storage.sql.postgres.faults import RAISED, lost, storage_error
from multiagent.storage.sql.postgres.scribe import Connection

ACQUIRE_S: Final = 10.0
"""How long to wait for a connection while all are busy."""

CONNECT_S: Final = 5.0
"""How long one attempt to connect may take."""

REACH_S: Final = 2.0
"""How long to try again while PostgreSQL refuses, as it does while it starts."""

COMMAND_S: Final = 30.0
"""How long a statement may take, seen from here; the server ends it a little earlier."""

CLOSE_S: Final = 2.0
"""How long to part in good order."""

FRESH_S: Final = 0.01
"""After so long an idle connection is looked at before it is used."""

_TURNS: Final = 3  # an end is read, told, and noted: a turn of the loop each
_BACKOFF_S: Final = 0.05
_STATEMENTS: Final = 256  # more than there are
_SETTINGS: Final = {
    "application_name": "multiagent",
    "statement_timeout": "25s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",
}


class Pool:
    """At most ``size`` connections to one database, opened as they are needed; of the idle the warmest is taken.

    Bound to the event loop that it was made on.
    """

    def __init__(self, url: str, size: int, *, acquire_s: float = ACQUIRE_S) -> None:
        self._url = url
        self._size = size
        self._acquire_s = acquire_s
        self._slots = asyncio.Semaphore(size)
        self._now = asyncio.get_running_loop().time
        self._idle: list[tuple[Connection, float]] = []
        self._refused: tuple[float, Exception] | None = None
        self._busy = 0
        self._closed = False

    def load(self) -> Mapping[str, float]:
        """Return how many connections are ``busy`` and ``idle``, and how many may be open (``most``)."""
        return {"busy": self._busy, "idle": len(self._idle), "most": self._size}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises StorageUnavailable (none free in time, PostgreSQL away), StorageError (refused for
        good); what the block raises goes through, and leaves no connection behind that is within a transaction.
        """
        await self._slot()
        try:
            connection = await self._warm() or await self._connect()
            self._busy += 1
            try:
                yield connection
            finally:
                self._busy -= 1
                if self._closed or connection.is_closed() or connection.is_in_transaction():
                    connection.terminate()
                else:
                    self._idle.append((connection, self._now()))
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Close all; those that are lent are closed when they come back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_close(connection) for connection, _ in idle))

    async def _slot(self) -> None:
        try:
            async with asyncio.timeout(self._acquire_s):
                await self._slots.acquire()
        except TimeoutError:
            raise StorageUnavailable(
                f"pool exhausted: all {self._size} connections to PostgreSQL were busy for {self._acquire_s:g} s; try "
                "again, or set storage.connections higher"
            ) from None

    async def _warm(self) -> Connection | None:
        """Return an idle connection; where it has lain for a while, the event loop first learns whether it is gone."""
        while self._idle:
            connection, since = self._idle.pop()
            if self._now() > since + FRESH_S:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
            if not connection.is_closed():
                return connection
        return None

    async def _connect(self) -> Connection:
        """Connect, again and again for a while; where that failed for another just now, once."""
        patience = self._now() + REACH_S
        if self._refused is not None and self._now() < self._refused[0]:
            raise storage_error(self._refused[1]) from self._refused[1]
        pause = _BACKOFF_S
        while True:
            try:
                connection = await connect(self._url)
            except RAISED as error:
                if not lost(error) or self._now() + pause > patience:
                    self._refused = (self._now() + REACH_S / 4, error)
                    raise storage_error(error) from error
                await asyncio.sleep(pause)
                pause *= 2
            else:
                self._refused = None
                return connection


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=CLOSE_S)
    except RAISED:
        connection.terminate()


async def connect(url: str) -> Connection:
    """Open one connection. Raises what the driver raises, ConfigInvalid where the address is none."""
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_S,
            command_timeout=COMMAND_S,
            server_settings=_SETTINGS,
            statement_cache_size=_STATEMENTS,
            max_cached_statement_lifetime=0,
        )
    except (asyncpg.ClientConfigurationError, ValueError) as error:
        raise ConfigInvalid(
            f"storage.url cannot be used ({error}); it is like postgresql://user:password@host:5432/database"
        ) from error
