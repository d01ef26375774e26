"""What an operation's handler works with: one transaction on one connection, and what it leaves behind."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from multiagent.core.events import EventHeader
from multiagent.storage.objects.base import Bodies
from multiagent.storage.sql.rows import Value

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic in its stubs alone
Argument = Value | bool | Sequence[Value] | Sequence[bool]

SALT_BYTES: Final = 16


class Scribe:
    """One transaction. ``ids`` are for new events, ``headers`` are of those stored; ``released`` says whether a hold
    was let go, or a place in a line that others may take; ``again`` whether the same may have been committed before.
    """

    __slots__ = ("_connection", "_entropy", "again", "bodies", "headers", "ids", "released")

    def __init__(
        self,
        connection: Connection,
        ids: Iterator[str],
        bodies: Bodies | None = None,
        *,
        again: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._connection = connection
        self._entropy = entropy
        self.bodies = bodies
        self.ids = ids
        self.again = again
        self.headers: list[EventHeader] = []
        self.released = False

    async def change(self, sql: str, *values: Argument) -> int:
        """Run a statement; return the number of rows it changed."""
        status = await self._connection.execute(sql, *map(_storable, values))
        return int(status.rpartition(" ")[2])

    async def one(self, sql: str, *values: Argument) -> asyncpg.Record | None:
        """Run a statement; return its first row, if any."""
        return await self._connection.fetchrow(sql, *map(_storable, values))

    async def row(self, sql: str, *values: Argument) -> asyncpg.Record:
        """Run a statement that has a row for an answer whatever happens, as a function's call does; return it."""
        row = await self._connection.fetchrow(sql, *map(_storable, values))
        if row is None:
            raise LookupError("a statement that always answers gave no row")
        return row

    async def all(self, sql: str, *values: Argument) -> list[asyncpg.Record]:
        """Run a statement; return all its rows."""
        return await self._connection.fetch(sql, *map(_storable, values))

    def salts(self, count: int) -> list[bytes]:
        """Return so many salts that were never given out before."""
        drawn = self._entropy(SALT_BYTES * count)
        return [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]


def _storable(value: Argument) -> Argument:
    """Return a value as PostgreSQL can hold it: no text there has a zero character."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if type(value) is str and "\0" in value else value
