"""Where processes that do not own a home leave commands: a file of its own, so that the main file keeps one writer.

Many processes insert, the owner reads and deletes. Both are idempotent by (tenant, id): a row that was copied into the
main file and not deleted, because its owner was killed in between, is copied again without effect.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from multiagent.core.errors import StorageCorrupt, StorageNewer
from multiagent.storage.sql.base import CommandRow
from multiagent.storage.sql.rows import blob, text, whole
from multiagent.storage.sql.sqlite.connect import BUSY_MS, connect
from multiagent.storage.sql.sqlite.faults import told

T = TypeVar("T")

APPLICATION: Final = 0x4D554C49
"""``PRAGMA application_id`` of the file ("MULI")."""

VERSION: Final = 1

_TABLE: Final = """CREATE TABLE IF NOT EXISTS inbox (
 tenant_id TEXT NOT NULL, id TEXT NOT NULL, v INTEGER NOT NULL DEFAULT 1, task TEXT NOT NULL, kind TEXT NOT NULL,
 payload BLOB NOT NULL, principal BLOB NOT NULL, time INTEGER NOT NULL,
 PRIMARY KEY (tenant_id, id)) WITHOUT ROWID"""
_PUT: Final = """INSERT INTO inbox (tenant_id, id, task, kind, payload, principal, time) VALUES (?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT DO NOTHING"""
_WAITING: Final = """SELECT tenant_id, id, task, kind, payload, principal, time FROM inbox
 ORDER BY time, id LIMIT ?"""
_REMOVE: Final = "DELETE FROM inbox WHERE tenant_id = ? AND id = ?"


class SqliteInbox:
    """See ``Inbox``. One connection, used by one thread at a time."""

    def __init__(self, path: Path, busy_ms: int = BUSY_MS) -> None:
        self._path = path
        self._busy_ms = busy_ms
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._seen = -1

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._close)

    async def put(self, row: CommandRow) -> None:
        """See ``Inbox.put``."""

        def insert(connection: sqlite3.Connection) -> None:
            values = (row.tenant, row.id, row.task, row.kind, row.payload, row.principal, row.time)
            connection.execute(_PUT, values)

        await asyncio.to_thread(self._with, insert)

    async def waiting(self, limit: int = 100) -> tuple[CommandRow, ...]:
        """See ``Inbox.waiting``."""

        def select(connection: sqlite3.Connection) -> tuple[CommandRow, ...]:
            return tuple(
                CommandRow(text(r[0]), text(r[1]), text(r[2]), text(r[3]), blob(r[4]), blob(r[5]), whole(r[6]))
                for r in connection.execute(_WAITING, (limit,)).fetchall()
            )

        return await asyncio.to_thread(self._with, select)

    async def remove(self, rows: Sequence[CommandRow]) -> None:
        """See ``Inbox.remove``."""

        def delete(connection: sqlite3.Connection) -> None:
            connection.executemany(_REMOVE, [(row.tenant, row.id) for row in rows])

        await asyncio.to_thread(self._with, delete)

    def changed(self) -> bool:
        """See ``Inbox.changed``: one page's counter in shared memory, some microseconds on the event loop."""
        if not self._lock.acquire(blocking=False):
            return True
        try:
            with told(self._path):
                seen = int(self._open().execute("PRAGMA data_version").fetchone()[0])
        finally:
            self._lock.release()
        changed, self._seen = seen != self._seen, seen
        return changed

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, told(self._path):
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = connect(self._path, self._busy_ms)
            try:
                _settle_in(connection, self._path)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _settle_in(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise StorageNewer(
            f"{path} was written by a newer version of this program (schema {version}, this one knows {VERSION}); "
            "upgrade the program, or use another home"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    elif int(connection.execute("PRAGMA application_id").fetchone()[0]) != APPLICATION:
        raise StorageCorrupt(f"{path} is a database of another program; move it away, or use another home")
