"""The port of short-lived keys: caches and counters, bounded in count, each key with a time to live."""

from typing import Protocol


class KeyValue(Protocol):
    """A bounded key-value store; losing it loses speed, never facts."""

    async def get(self, key: str) -> bytes | None:
        """Return a live value."""
        ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value for ``ttl_s`` seconds; the least recently used make room."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a key."""
        ...

    async def add(self, key: str, amount: int, ttl_s: float) -> int:
        """Add to a counter that starts at 0 and lives ``ttl_s`` seconds from its first use; return its value."""
        ...
