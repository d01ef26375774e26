"""What PostgreSQL's errors, and a connection's, mean to the platform, and what to do about each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import msgspec

from multiagent.core.errors import (
    NonDeterminism,
    NotFound,
    PlatformError,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageUnavailable,
)

LOST: Final = (OSError, EOFError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError,
               asyncpg.InternalClientError)  # fmt: skip
"""What a connection that is gone, or never came about, raises."""

RAISED: Final = (asyncpg.PostgresError, *LOST)
"""All that the driver raises for what the database, or the way to it, did."""

_OURS: Final[dict[str, type[PlatformError]]] = {"MA404": NotFound, "MA409": NonDeterminism, "MA500": StorageError}
"""What our own functions raise."""

_AGAIN: Final = frozenset({"40001", "40P01"})
_BUSY: Final = frozenset({"55P03", "57014", "25P03", "25P04", *_AGAIN})
_AWAY: Final = frozenset({"57P01", "57P02", "57P03", "53300", "53200"})
_TOLD: Final = {
    "28000": "PostgreSQL refused the user; check storage.url",
    "28P01": "PostgreSQL refused the password; check storage.url",
    "3D000": "PostgreSQL has no such database; create it, or check storage.url",
    "42501": "PostgreSQL does not let this user do that; let it own the database's tables",
    "42P01": "the database is not made yet; start the program once with this storage.url",
    "42883": "the database is not made yet; start the program once with this storage.url",
}
_DETAILS: Final = msgspec.json.Decoder(dict[str, object])


@contextmanager
def told() -> Iterator[None]:
    """Raise what the driver raises in the block as the platform's own error."""
    try:
        yield
    except RAISED as error:
        raise storage_error(error) from error


def storage_error(error: Exception) -> PlatformError:
    """Return the platform's error for one that PostgreSQL, or the driver, raised."""
    if isinstance(error, PlatformError):
        return error
    if isinstance(error, ValueError | TypeError | OverflowError | LookupError):
        return StorageError(f"a write to PostgreSQL was refused: {type(error).__name__}: {error}")
    if isinstance(error, asyncpg.PostgresError):
        return _answered(error, error.sqlstate or "")
    if isinstance(error, LOST):
        return StorageUnavailable(f"PostgreSQL cannot be reached ({_said(error)}); try again once it is up")
    return StorageError(f"a write to PostgreSQL was refused: {_said(error)}")


def _answered(error: asyncpg.PostgresError, state: str) -> PlatformError:
    if state in _OURS:
        details = _DETAILS.decode(error.detail) if error.detail else None
        return _OURS[state](error.message or "", details=details)
    if state in _AWAY or state.startswith("08"):
        return StorageUnavailable(f"PostgreSQL cannot be reached ({_said(error)}); try again once it is up")
    if state in _BUSY:
        return StorageUnavailable(f"PostgreSQL was too busy ({_said(error)}); try again")
    if state in {"53100", "58030"}:
        return StorageFull(f"PostgreSQL's disk is full or failing ({_said(error)}); free space there and go on")
    if state.startswith("XX00") and state != "XX000":
        return StorageCorrupt(f"PostgreSQL finds its data damaged ({_said(error)}); restore a backup")
    if state in _TOLD:
        return StorageError(f"{_TOLD[state]} ({_said(error)})")
    return StorageError(f"a write to PostgreSQL was refused: {_said(error)}")


def in_the_way(error: Exception) -> bool:
    """Whether the same transaction may pass when it is simply run again: others stood in its way."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _AGAIN


def lost(error: Exception) -> bool:
    """Whether the connection is gone: what it was doing may or may not have been done."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in {"57P01", "57P02", "57P03"} or state.startswith("08")
    return isinstance(error, LOST) and not isinstance(error, ValueError | TimeoutError)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
