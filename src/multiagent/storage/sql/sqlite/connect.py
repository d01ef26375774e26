"""Opening the database: settings, a fresh schema, and the check of its version."""

import sqlite3
from pathlib import Path
from typing import Final, Literal

from multiagent.core.errors import StorageCorrupt, StorageError, StorageNewer, StorageUnavailable
from multiagent.storage.sql.sqlite.faults import storage_error, told
from multiagent.storage.sql.sqlite.schema import SCRIPT
from multiagent.storage.sql.version import VERSION

Synchronous = Literal["FULL", "NORMAL"]

APPLICATION: Final = 0x4D554C54
"""``PRAGMA application_id`` of our files ("MULT")."""

BUSY_MS: Final = 5_000


def open_writable(path: Path, synchronous: Synchronous, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """Open, and where needed create or migrate, the database.

    Raises StorageCorrupt, StorageNewer, StorageUnavailable, StorageFull, StorageError.
    """
    connection = connect(path, busy_ms)
    try:
        with told(path):
            _settle_in(connection, path, synchronous)
    except StorageError:
        connection.close()
        raise
    return connection


def open_readonly(path: Path, busy_ms: int = BUSY_MS) -> sqlite3.Connection:
    """Open an existing database for reads only.

    Raises StorageCorrupt, StorageNewer, StorageUnavailable (not made yet, or older: its owner brings it up to date).
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with told(path):
        connection = sqlite3.connect(
            uri, uri=True, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False
        )
    try:
        with told(path):
            connection.execute("PRAGMA cache_size = -8000")
            connection.execute("PRAGMA query_only = 1")
            _check_current(connection, path)
    except StorageError:
        connection.close()
        raise
    return connection


def connect(path: Path, busy_ms: int) -> sqlite3.Connection:
    """Open a file for writing, readable by its owner alone; StorageError where it cannot be made."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
        return sqlite3.connect(
            path, timeout=busy_ms / 1000, isolation_level=None, cached_statements=256, check_same_thread=False
        )
    except OSError as error:
        raise StorageError(
            f"{path} cannot be created ({error.strerror}); check the folder, or set MULTIAGENT_HOME to another"
        ) from error
    except sqlite3.Error as error:
        raise storage_error(error, path) from error


def _settle_in(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    version = _version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages; rarer is cheaper, 16 MB is soon read again
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute("PRAGMA temp_store = MEMORY")
    if version == 0:
        _create(connection, path)
    elif _number(connection, "PRAGMA application_id") != APPLICATION:
        raise _foreign(path)
    elif version < VERSION:
        from multiagent.storage.sql.migrate import upgrade

        upgrade(path)


def _create(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _number(connection, "PRAGMA user_version") == 0:  # another process may have been first
            _check_empty(connection, path)
            for statement in SCRIPT.read_text(encoding="utf-8").split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_empty(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "SELECT count(*) FROM sqlite_master"):
        raise _foreign(path)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the schema; StorageNewer where this program does not know it."""
    version = _number(connection, "PRAGMA user_version")
    if version > VERSION:
        raise StorageNewer(
            f"{path} was written by a newer version of this program (schema {version}, this one knows {VERSION}); "
            "upgrade the program, or use another home"
        )
    return version


def _check_current(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) < VERSION:
        raise StorageUnavailable(
            f"{path} is not made yet, or is of an older version; the next `multiagent run` brings it up to date"
        )


def _foreign(path: Path) -> StorageCorrupt:
    return StorageCorrupt(f"{path} is a database of another program; move it away, or use another home")


def _number(connection: sqlite3.Connection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0])
