"""What SQLite's errors mean to the platform, and what to do about each."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from multiagent.core.errors import StorageCorrupt, StorageError, StorageFull, StorageUnavailable

_FULL = {sqlite3.SQLITE_FULL}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}

_ROOMLESS = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""What opening a database, or mapping its shared memory, also ends with on a full disk."""

_LEAST_BYTES = 1 << 16


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raise what SQLite raises in the block as the platform's own error."""
    try:
        yield
    except sqlite3.Error as error:
        raise storage_error(error, path) from error


def storage_error(error: Exception, path: Path) -> StorageError:
    """Return the platform's error for one that SQLite, or the driver, raised on the database at ``path``."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    primary = code & 0xFF
    if primary in _FULL or code == sqlite3.SQLITE_IOERR_WRITE or (primary in _ROOMLESS and _no_room(path)):
        return StorageFull(f"the disk that holds {path} is full; free space and go on, nothing committed is lost")
    if primary in _BUSY:
        return StorageUnavailable(f"{path} is locked by another process; close it, or wait and try again")
    if primary in _CORRUPT:
        return StorageCorrupt(
            f"{path} is damaged or is not a database ({error}); move it away with its -wal and -shm files and "
            f"restore a backup, or save what can be read with `sqlite3 {path} .recover`"
        )
    if primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}:
        return StorageError(f"{path} cannot be opened for writing ({error}); check the folder's owner and permissions")
    if primary == sqlite3.SQLITE_IOERR:
        return StorageUnavailable(f"reading or writing {path} failed ({error}); check the disk and try again")
    return StorageError(f"a write to {path} was refused: {type(error).__name__}: {error}")


def _no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _LEAST_BYTES
    except OSError:
        return False
