"""Whose turn it is, of all processes that do the same work: that one's whose session holds a lock of the database.

The lock goes with the session: when the process dies, and when it stands still for longer than ``LEASE_S``. One that
was not dead, only slow, may work beside its successor for a moment; so such work must bear being done twice.
"""

import asyncio
import logging
from typing import Final

from multiagent.storage.sql.postgres.faults import RAISED
from multiagent.storage.sql.postgres.pool import CONNECT_S, connect
from multiagent.storage.sql.postgres.scribe import Connection

RENEW_S: Final = 1.0
"""How often the turn is renewed, and asked for."""
LEASE_S: Final = 5
"""A holder that the database does not hear of for so many seconds has lost its turn."""

_TRY: Final = "SELECT pg_try_advisory_lock(hashtextextended('multiagent.turn.' || $1, 0))"

_log = logging.getLogger("multiagent.storage")


class PostgresTurn:
    """See ``Turn``. ``keep`` it in the background, and ``close`` it."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: Connection | None = None
        self._held = False

    def mine(self) -> bool:
        """See ``Turn.mine``."""
        return self._held and self._connection is not None and not self._connection.is_closed()

    async def ask(self) -> bool:
        """Renew the turn, or ask for it; return whether it is this process's. Raises what the driver raises."""
        if self._connection is None or self._connection.is_closed():
            self._held = False
            self._connection = await connect(self._url)
            await self._connection.execute(f"SET idle_session_timeout = '{LEASE_S}s'")
        if self._held:
            await self._connection.fetchval("SELECT 1")
        else:
            self._held = bool(await self._connection.fetchval(_TRY, self._name))
            if self._held:
                _log.info("it is this process's turn to %s", self._name)
        return self._held

    async def keep(self) -> None:
        """Ask for the turn and renew it, for ever; while the database is away it is nobody's."""
        while True:
            try:
                await self.ask()
            except RAISED as error:
                self._drop()
                _log.warning("who %s is not known now: %s: %s", self._name, type(error).__name__, error)
            await asyncio.sleep(RENEW_S)

    async def close(self) -> None:
        """Give the turn up."""
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            try:
                await connection.close(timeout=CONNECT_S)
            except RAISED:
                connection.terminate()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection, self._held = None, False
