"""The port of object storage: bytes under the SHA-256 of their content, stored once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol


class Bodies(Protocol):
    """The same store for a thread of storage's own, which has no event loop: large bodies of database rows."""

    def keep(self, tenant: str, data: bytes) -> str:
        """Store bytes; return their address. Raises StorageFull, StorageError."""
        ...

    def fetch(self, tenant: str, address: str) -> bytes:
        """Return the bytes; NotFound, StorageCorrupt as ``Objects.get``."""
        ...


class Objects(Protocol):
    """A content-addressed store, one name space a tenant."""

    async def put(self, tenant: str, data: bytes) -> str:
        """Store bytes; return their address (64 hex digits). Storing the same again does nothing."""
        ...

    async def put_file(self, tenant: str, path: Path, most: int) -> tuple[str, int]:
        """Copy a file in pieces; return (address, size). AttachmentRejected where it is over ``most`` bytes."""
        ...

    async def get(self, tenant: str, address: str) -> bytes:
        """Return the bytes; NotFound where there are none, StorageCorrupt where they do not fit their address."""
        ...

    def stream(self, tenant: str, address: str) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces."""
        ...

    async def local_path(self, tenant: str, address: str) -> Path | None:
        """Return a read-only file that holds the bytes, where the store has one on this machine."""
        ...
