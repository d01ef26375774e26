"""The port: run a program that nobody trusts, under limits, and learn what came of it.

A program that fails (its own exception) is a result; a program that hits a limit is an error of the
``SandboxError`` branch, one class a limit. All metrics are taken by the host; the guest is not asked.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import msgspec

MIB = 1 << 20


class Grant(msgspec.Struct, frozen=True):
    """A folder of the host, seen by the guest at the absolute path ``guest``; read-only unless ``writable``."""

    path: str
    guest: str
    writable: bool = False


class Limits(msgspec.Struct, frozen=True):
    """What one run may use at most.

    ``fuel`` counts WebAssembly operations (a busy loop burns up to 10¹⁰ a second, so that by default the time
    runs out first). ``output_bytes`` bounds
    standard output and error together, ``value_bytes`` the JSON of the result, ``writable_bytes`` how much all
    writable grants together may grow, and the size of any one file in them. ``table_elements`` and ``instances``
    count the component's own parts too (CPython's are 5,672 and 14). The stack is fixed at build: 1 MiB.
    """

    timeout_s: float = 10.0
    memory_bytes: int = 256 * MIB
    fuel: int = 1_000_000_000_000
    output_bytes: int = MIB
    value_bytes: int = MIB
    writable_bytes: int = 64 * MIB
    table_elements: int = 6_672
    instances: int = 16


class RunRequest(msgspec.Struct, frozen=True):
    """A program and all it is given.

    ``inputs`` is a JSON text; the program finds its value in the variable ``inputs``. ``files`` are (name, bytes),
    laid read-only into the program's working folder. Its value is that of its last expression, as in a notebook,
    or else of its variable ``result``.
    """

    code: str
    language: str = "python"
    inputs: str = "null"
    files: tuple[tuple[str, bytes], ...] = ()
    grants: tuple[Grant, ...] = ()
    limits: Limits = Limits()


class Metrics(msgspec.Struct, frozen=True):
    """What one run used, measured by the host.

    ``peak_memory_bytes`` is None where the system cannot tell; ``fuel_used`` of a program that ran out of time is a
    lower bound. ``instantiate_ms`` was mostly spent before the run, while nobody waited, and is not in ``wall_ms``
    then.
    """

    fuel_used: int = 0
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    instantiate_ms: float = 0.0
    output_bytes: int = 0
    peak_memory_bytes: int | None = None


class GuestError(msgspec.Struct, frozen=True):
    """The exception a program ended with, in its own words."""

    type: str
    message: str
    traceback: str = ""


class RunResult(msgspec.Struct, frozen=True):
    """What a program that ran to its end has left: texts, its value as JSON (``null`` if none), or its exception."""

    stdout: str
    stderr: str
    value: str
    metrics: Metrics
    error: GuestError | None = None


class Sandbox(Protocol):
    """Runs programs; owned by an ``async with``, which starts and stops its workers."""

    async def run(self, request: RunRequest) -> RunResult:
        """Run one program to its end.

        Cancelling the caller stops the program. Raises InvalidInput (a request that makes no sense), SandboxBusy
        (retryable), SandboxUnbuilt, one class of SandboxError for each limit, SandboxProtocol for a forged
        envelope, SandboxCrashed if the worker died.
        """
        ...

    def workers(self) -> Mapping[str, int]:
        """Return how many workers are ``busy`` and ``idle`` now, and how many runs are ``waiting`` for one."""
        ...

    async def __aenter__(self) -> Self:
        """Start."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every worker; runs in flight fail."""
        ...
