"""Where Temporal is, and what payloads are encrypted with."""

import hashlib
from dataclasses import dataclass, field


def key_id(key: bytes) -> str:
    """Return the name of a key, by which payloads say what encrypted them."""
    return hashlib.sha256(b"multiagent/key\0" + key).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Load:
    """How much the workers of one process take on: ``steps`` at once, a service, which have ``grace_s`` seconds to end
    when they are to stop. What is over that waits for others, or for its turn.
    """

    steps: int = 200
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TemporalOptions:
    """``queues`` is the prefix of the task queues' names; ``key`` (32 bytes) encrypts payloads, ``old_keys`` are those
    that encrypted older ones, so that they can be read still.
    """

    address: str
    namespace: str
    queues: str
    key: bytes = field(repr=False)
    tls: bool = False
    api_key: str = field(default="", repr=False)
    old_keys: tuple[bytes, ...] = field(default=(), repr=False)

    def queue(self, service: str) -> str:
        """Return the name of a service's task queue."""
        return f"{self.queues}-{service}"
