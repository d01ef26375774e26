"""Which adapters make up storage: the only place that names them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from multiagent.core.clock import Clock
from multiagent.core.ids import Ids
from multiagent.storage.kv.base import KeyValue
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Inbox, Reader, Writer

DATABASE: Final = "multiagent.db"
INBOX: Final = "inbox.db"
OBJECTS: Final = "objects"


@dataclass(frozen=True, slots=True)
class Storage:
    """All of storage, as the floors above see it."""

    writer: Writer
    reader: Reader
    objects: Objects
    kv: KeyValue


@asynccontextmanager
async def open_storage(
    home: Path, *, clock: Clock, ids: Ids, synchronous: Literal["FULL", "NORMAL"] = "FULL"
) -> AsyncIterator[Storage]:
    """Open the embedded storage under ``home``, making what is missing; close it at the end of the block.

    Raises StorageCorrupt, StorageNewer, StorageUnavailable (locked), StorageFull, StorageError (no such folder).
    """
    from multiagent.storage.kv.memory import MemoryKeyValue
    from multiagent.storage.objects.local import LocalObjects
    from multiagent.storage.sql.sqlite.reader import SqliteReader
    from multiagent.storage.sql.sqlite.writer import SqliteWriter

    async with AsyncExitStack() as stack:
        objects = LocalObjects(home / OBJECTS)
        writer = await SqliteWriter.open(home / DATABASE, ids, synchronous, bodies=objects)
        stack.push_async_callback(writer.close)
        reader = SqliteReader(home / DATABASE, objects)
        stack.push_async_callback(reader.close)
        yield Storage(writer, reader, objects, MemoryKeyValue(clock))


@asynccontextmanager
async def open_reader(home: Path) -> AsyncIterator[Reader | None]:
    """Open the database under ``home`` for reading only, also while another process owns it; None where there is none.

    Raises StorageCorrupt, StorageNewer, StorageUnavailable.
    """
    from multiagent.storage.objects.local import LocalObjects
    from multiagent.storage.sql.sqlite.reader import SqliteReader

    path = home / DATABASE
    if not path.exists():
        yield None
        return
    reader = SqliteReader(path, LocalObjects(home / OBJECTS))
    try:
        yield reader
    finally:
        await reader.close()


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
