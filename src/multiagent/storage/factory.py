"""Which adapters make up storage: the only place that names them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from multiagent.core.clock import Clock
from multiagent.core.errors import ConfigInvalid
from multiagent.core.ids import Ids
from multiagent.storage.kv.base import KeyValue
from multiagent.storage.objects.base import Bodies, Objects
from multiagent.storage.sql.base import Inbox, Notices, Reader, Turn, Writer

if TYPE_CHECKING:
    from multiagent.storage.sql.postgres.sequencer import Sequencer

DATABASE: Final = "multiagent.db"
INBOX: Final = "inbox.db"
OBJECTS: Final = "objects"

CONNECTIONS: Final = 8
"""The most that one process opens to PostgreSQL, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Storage:
    """All of storage, as the floors above see it; ``notices`` where other processes write, too, and there ``load``: how
    many connections are busy and idle, and how many may be open.
    """

    writer: Writer
    reader: Reader
    objects: Objects
    kv: KeyValue
    notices: Notices | None = None
    load: Callable[[], Mapping[str, float]] | None = None


@asynccontextmanager
async def open_storage(
    home: Path,
    *,
    clock: Clock,
    ids: Ids,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    url: str = "",
    connections: int = CONNECTIONS,
) -> AsyncIterator[Storage]:
    """Open storage, making what is missing; close it at the end of the block.

    Rows are in a SQLite file under ``home``, written by this process alone, or with ``url`` in that PostgreSQL
    database, over at most so many ``connections``; objects are under ``home``. Raises StorageCorrupt, StorageNewer,
    StorageUnavailable (locked, away), StorageFull, StorageError (no such folder, refused), ConfigInvalid (no driver).
    """
    from multiagent.storage.kv.memory import MemoryKeyValue
    from multiagent.storage.objects.local import LocalObjects

    async with AsyncExitStack() as stack:
        objects = LocalObjects(home / OBJECTS)
        kv = MemoryKeyValue(clock)
        if url:
            writer, reader, notices, load = await _open_postgres(stack, url, connections, ids, objects)
            yield Storage(writer, reader, objects, kv, notices, load)
        else:
            writer, reader = await _open_sqlite(stack, home / DATABASE, synchronous, ids, objects)
            yield Storage(writer, reader, objects, kv)


async def _open_sqlite(
    stack: AsyncExitStack, path: Path, synchronous: Literal["FULL", "NORMAL"], ids: Ids, bodies: Bodies
) -> tuple[Writer, Reader]:
    from multiagent.storage.sql.sqlite.reader import SqliteReader
    from multiagent.storage.sql.sqlite.writer import SqliteWriter

    writer = await SqliteWriter.open(path, ids, synchronous, bodies=bodies)
    stack.push_async_callback(writer.close)
    reader = SqliteReader(path, bodies)
    stack.push_async_callback(reader.close)
    return writer, reader


async def _open_postgres(
    stack: AsyncExitStack, url: str, connections: int, ids: Ids, bodies: Bodies
) -> tuple[Writer, Reader, Notices, Callable[[], Mapping[str, float]]]:
    with _driver():
        from multiagent.storage.sql.postgres.connect import prepare
        from multiagent.storage.sql.postgres.notices import PostgresNotices
        from multiagent.storage.sql.postgres.pool import Pool
        from multiagent.storage.sql.postgres.reader import PostgresReader
        from multiagent.storage.sql.postgres.writer import PostgresWriter

    pool = Pool(url, connections)
    stack.push_async_callback(pool.close)
    await prepare(pool, url)
    notices = await PostgresNotices.open(url)
    stack.push_async_callback(notices.close)
    writer = PostgresWriter(pool, ids, bodies)
    stack.push_async_callback(writer.close)
    notices.on_release(writer.tell_released)
    return writer, PostgresReader(pool, bodies), notices, pool.load


@asynccontextmanager
async def open_sequencer(url: str) -> AsyncIterator["Sequencer"]:
    """Fill the log of all tasks' events in the PostgreSQL database at ``url`` until the end of the block, or stand by
    while another process does. While the database is away it is tried again; the tables must have been made.

    Raises ConfigInvalid (no driver).
    """
    with _driver():
        from multiagent.storage.sql.postgres.sequencer import Sequencer

    sequencer = Sequencer(url)
    try:
        yield sequencer
    finally:
        await sequencer.close()


@asynccontextmanager
async def open_turn(url: str, name: str) -> AsyncIterator[Turn]:
    """Take part in a work of this name, which one process does at a time, for the block; without a ``url`` no other
    process can. It needs no database to open: while that is away it is nobody's turn.
    """
    if not url:
        yield OnlyOne()
        return
    with _driver():
        from multiagent.storage.sql.postgres.turn import PostgresTurn

    turn = PostgresTurn(url, name)
    keeping = asyncio.ensure_future(turn.keep())
    try:
        yield turn
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await turn.close()


class OnlyOne:
    """The turn of a process that has the database to itself."""

    def mine(self) -> bool:
        """See ``Turn.mine``."""
        return True


@contextmanager
def _driver() -> Iterator[None]:
    """Say what to install where the driver of PostgreSQL is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigInvalid('storage.url needs a driver: pip install "multiagent[postgres]"') from error


@asynccontextmanager
async def open_reader(home: Path, *, url: str = "", connections: int = CONNECTIONS) -> AsyncIterator[Reader | None]:
    """Open the database under ``home``, or at ``url``, for reading only, also while others write; None where there is
    none.

    Raises StorageCorrupt, StorageNewer, StorageUnavailable, ConfigInvalid (no driver).
    """
    from multiagent.storage.objects.local import LocalObjects

    bodies = LocalObjects(home / OBJECTS)
    async with AsyncExitStack() as stack:
        yield await (_read_postgres(stack, url, connections, bodies) if url else _read_sqlite(stack, home, bodies))


async def _read_sqlite(stack: AsyncExitStack, home: Path, bodies: Bodies) -> Reader | None:
    from multiagent.storage.sql.sqlite.reader import SqliteReader

    if not (home / DATABASE).exists():
        return None
    reader = SqliteReader(home / DATABASE, bodies)
    stack.push_async_callback(reader.close)
    return reader


async def _read_postgres(stack: AsyncExitStack, url: str, connections: int, bodies: Bodies) -> Reader | None:
    with _driver():
        from multiagent.storage.sql.postgres.connect import prepared
        from multiagent.storage.sql.postgres.pool import Pool
        from multiagent.storage.sql.postgres.reader import PostgresReader

    pool = Pool(url, connections)
    stack.push_async_callback(pool.close)
    return PostgresReader(pool, bodies) if await prepared(pool) else None


@asynccontextmanager
async def open_inbox(home: Path) -> AsyncIterator[Inbox]:
    """Open the file where other processes leave commands for the owner of ``home``, made where it is missing.

    Raises StorageNewer, StorageCorrupt, StorageUnavailable, StorageFull, StorageError at its first use.
    """
    from multiagent.storage.sql.sqlite.inbox import SqliteInbox

    inbox = SqliteInbox(home / INBOX)
    try:
        yield inbox
    finally:
        await inbox.close()


def open_objects(home: Path) -> Objects:
    """Return the objects under ``home``: content-addressed, so that any process may add to them."""
    from multiagent.storage.objects.local import LocalObjects

    return LocalObjects(home / OBJECTS)
