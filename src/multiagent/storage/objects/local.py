"""Objects as files: written beside their place, synced, then moved there, so that a file that exists is whole.

Plain files and not obstore's local store, which does not sync what it writes (a commit must not outlive the object it
names) and takes 70 ms to import.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from multiagent.core.errors import AttachmentRejected, InvalidInput, NotFound, StorageCorrupt, StorageError, StorageFull

PIECE: Final = 1 << 20
_TENANT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_ADDRESS: Final = re.compile(r"[0-9a-f]{64}")


class LocalObjects:
    """See ``Objects``, ``Bodies``. Files are ``root/<tenant>/<2 digits>/<address>``, readable by their owner alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, tenant: str, data: bytes) -> str:
        """See ``Objects.put``. Raises StorageFull, StorageError."""
        return await asyncio.to_thread(self.keep, tenant, data)

    def keep(self, tenant: str, data: bytes) -> str:
        """See ``Bodies.keep``."""
        address = hashlib.sha256(data).hexdigest()
        self._write_bytes(self._place(tenant, address), data)
        return address

    async def put_file(self, tenant: str, path: Path, most: int) -> tuple[str, int]:
        """See ``Objects.put_file``. Raises AttachmentRejected also where the file cannot be read."""
        return await asyncio.to_thread(self._copy, tenant, path, most)

    async def get(self, tenant: str, address: str) -> bytes:
        """See ``Objects.get``."""
        return await asyncio.to_thread(self.fetch, tenant, address)

    def fetch(self, tenant: str, address: str) -> bytes:
        """See ``Bodies.fetch``."""
        place = self._place(tenant, address)
        with _open(place, address) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != address:
            raise _damaged(place)
        return data

    async def stream(self, tenant: str, address: str) -> AsyncIterator[bytes]:
        """See ``Objects.stream``; StorageCorrupt comes after the last piece where they do not fit their address."""
        place = self._place(tenant, address)
        digest = hashlib.sha256()
        with await asyncio.to_thread(_open, place, address) as file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != address:
            raise _damaged(place)

    async def local_path(self, tenant: str, address: str) -> Path | None:
        """See ``Objects.local_path``; NotFound where there is no such object."""
        place = self._place(tenant, address)
        if not place.is_file():
            raise _missing(address)
        return place

    def _place(self, tenant: str, address: str) -> Path:
        if not _TENANT.fullmatch(tenant):
            raise InvalidInput(f"{tenant!r} cannot name a tenant: letters, digits, dot, dash and underscore only")
        if not _ADDRESS.fullmatch(address):
            raise InvalidInput(f"{address[:80]!r} is not an object's address (64 hex digits)")
        return self._root / tenant / address[:2] / address

    def _write_bytes(self, place: Path, data: bytes) -> None:
        if place.is_file() and place.stat().st_size == len(data):
            return
        with self._fresh(place.parent) as (descriptor, temporary):
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            _land(descriptor, temporary, place)

    def _copy(self, tenant: str, path: Path, most: int) -> tuple[str, int]:
        try:
            source = path.open("rb")
        except OSError as error:
            raise AttachmentRejected(f"{path} cannot be read: {error.strerror}") from error
        digest, size = hashlib.sha256(), 0
        with source, self._fresh(self._tenant(tenant)) as (descriptor, temporary):
            for piece in _pieces(source.fileno(), path):
                size += len(piece)
                if size > most:
                    raise AttachmentRejected(f"{path} is larger than the {most} bytes that may be attached")
                digest.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            address = digest.hexdigest()
            place = self._place(tenant, address)
            if not place.is_file():
                place.parent.mkdir(mode=0o700, exist_ok=True)
                _land(descriptor, temporary, place)
        return address, size

    def _tenant(self, tenant: str) -> Path:
        return self._place(tenant, "0" * 64).parent.parent

    @contextlib.contextmanager
    def _fresh(self, folder: Path) -> Iterator[tuple[int, Path]]:
        """A new file in ``folder``, gone at the end of the block unless it was moved away."""
        try:
            for missing in (self._root, folder.parent, folder):
                missing.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=".part-")
        except OSError as error:
            raise _refused(folder, error) from error
        try:
            yield descriptor, Path(name)
        except OSError as error:
            raise _refused(folder, error) from error
        finally:
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()


def _land(descriptor: int, temporary: Path, place: Path) -> None:
    os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
    os.fsync(descriptor)
    temporary.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _pieces(descriptor: int, path: Path) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, PIECE)
        except OSError as error:
            raise AttachmentRejected(f"{path} cannot be read: {error.strerror}") from error
        if not piece:
            return
        yield piece


def _open(place: Path, address: str) -> BinaryIO:
    try:
        return place.open("rb")
    except FileNotFoundError:
        raise _missing(address) from None
    except OSError as error:
        raise StorageError(f"{place} cannot be read: {error.strerror}; check its owner and permissions") from error


def _missing(address: str) -> NotFound:
    return NotFound(f"there is no object {address}")


def _damaged(place: Path) -> StorageCorrupt:
    return StorageCorrupt(
        f"{place} does not hold what its name says; restore it from a backup, or attach the file again"
    )


def _refused(folder: Path, error: OSError) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StorageFull(f"the disk that holds {folder} is full; free space and go on")
    return StorageError(f"{folder} cannot be written: {error.strerror}; check its owner and permissions")
