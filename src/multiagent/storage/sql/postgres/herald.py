"""Telling other processes which tasks have new events, after they were committed, many at once.

Not within the transaction that stores them: PostgreSQL lets only one transaction that notifies commit at a time, its
write to the disk included. That took 2 to 2.8 times as long under load. Who is not told, because this process died
before it could, looks for itself in a while.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from multiagent.core.errors import PlatformError
from multiagent.core.events import EventHeader
from multiagent.storage.sql.postgres.faults import RAISED
from multiagent.storage.sql.postgres.pool import Pool

PAUSE_S: Final = 0.02
"""How long what follows is gathered before it is told, too."""

_TELL: Final = "SELECT pg_notify('multiagent_events', told) FROM unnest($1::text[]) AS told"


class Herald:
    """Tells at once what comes when nothing did of late, else once a ``PAUSE_S``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._news: set[str] = set()
        self._telling: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def tell(self, headers: Iterable[EventHeader]) -> None:
        """Note events; they are told in a moment."""
        self._news.update(f"{one.tenant} {one.task}" for one in headers)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def close(self) -> None:
        """Tell what is left."""
        self._ending.set()
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        while self._news:
            news, self._news = sorted(self._news), set()
            try:
                async with self._pool.connection() as connection:
                    await connection.execute(_TELL, news)
            except (PlatformError, *RAISED):
                return  # who listens has lost its connection, too, and looks for itself
            try:
                async with asyncio.timeout(PAUSE_S):
                    await self._ending.wait()
            except TimeoutError:
                continue
