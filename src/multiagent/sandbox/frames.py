"""What the pool and its workers say to each other: length-prefixed msgpack over a socket."""

from enum import StrEnum
from typing import BinaryIO

import msgspec

HEADER = 4
MAX_FRAME = 512 << 20


class Mount(msgspec.Struct, frozen=True, array_like=True):
    """A folder to open for the guest."""

    path: str
    guest: str
    writable: bool


class Job(msgspec.Struct, frozen=True):
    """One run: ``request`` is the guest's JSON text, passed on unread."""

    request: str
    mounts: tuple[Mount, ...]
    timeout_s: float
    memory_bytes: int
    fuel: int
    output_bytes: int
    value_bytes: int
    file_bytes: int
    table_elements: int
    instances: int


class Status(StrEnum):
    """How a run ended, as the host saw it."""

    DONE = "done"
    TIMEOUT = "timeout"
    FUEL = "fuel"
    STACK = "stack"
    OUTPUT = "output"
    VALUE = "value"
    MEMORY = "memory"
    EXIT = "exit"
    TRAP = "trap"
    DENIED = "denied"


class Reply(msgspec.Struct, frozen=True):
    """What came of a run. ``envelope`` is the guest's own word; all else is the host's.

    A worker that says ``spent`` must not be used again.
    """

    status: Status
    envelope: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    detail: str = ""
    fuel_used: int = 0
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    instantiate_ms: float = 0.0
    peak_memory_bytes: int | None = None
    spent: bool = False


class Ready(msgspec.Struct, frozen=True):
    """A worker's first frame: ``problem`` is empty when it can run programs."""

    problem: str = ""


def encode(frame: msgspec.Struct) -> bytes:
    """Return the frame's bytes with their length in front (4 bytes, big-endian)."""
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(HEADER, "big") + body


def read_exactly(stream: BinaryIO) -> bytes | None:
    """Read one frame's body from a blocking stream; None at its end."""
    head = stream.read(HEADER)
    if len(head) < HEADER:
        return None
    size = int.from_bytes(head, "big")
    if size > MAX_FRAME:
        return None
    body = stream.read(size)
    return body if len(body) == size else None
