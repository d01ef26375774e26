"""One owner a home: a locked file that names the process. The system frees the lock when the process ends, however."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from multiagent.core.errors import EngineOwned, StorageError

LOCK: Final = "owner.lock"
_PAUSES: Final = (0.002, 0.01, 0.05, 0)


@contextmanager
def own(home: Path) -> Iterator[None]:
    """Own a home for the block; EngineOwned, with the owner's pid, where another process does."""
    path = home / LOCK
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened: {error.strerror}; check that the folder can be written"
        ) from error
    try:
        if not _lock(descriptor):
            raise _owned(home, descriptor)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def owner(home: Path) -> int | None:
    """Return the pid of the process that owns a home now; None where none does."""
    try:
        descriptor = os.open(home / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _pid(descriptor)
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int) -> bool:
    """Lock, or tell that another process does. Whoever asks for the owner holds the lock for a moment: try again."""
    for pause in _PAUSES:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(pause)
        else:
            return True
    return False


def _pid(descriptor: int) -> int:
    for pause in _PAUSES:  # the owner may have locked and not yet written
        text = os.pread(descriptor, 32, 0).strip()
        if text.isdigit():
            return int(text)
        time.sleep(pause)
    return 0


def _owned(home: Path, descriptor: int) -> EngineOwned:
    pid = _pid(descriptor)
    return EngineOwned(
        f"process {pid or 'unknown'} is at work in {home}; wait until it ends, stop it, or use another MULTIAGENT_HOME",
        details={"pid": pid},
    )
