# mypy: ignore-errors
# ruff: noqa: INP001
"""What a sandbox cannot do says so clearly, instead of failing in the depth of the standard library.

These are courtesies to the program's author: the host denies the same things whether they are here or not.
"""

import _thread
import os
import socket
import subprocess
import threading
from collections.abc import Callable

PROCESSES = frozenset(
    {"execl", "execv", "execve", "fork", "forkpty", "kill", "killpg", "posix_spawn", "spawnv", "system"}
)


class SandboxDenied(PermissionError):
    """Raised where a program asks for a capability that the sandbox does not grant."""


# What a missing attribute must be, for those who only ask whether it is there.
DeniedAttribute = type("SandboxDenied", (AttributeError,), {})


class DeniedSocket(socket.socket):
    """A socket that is never opened."""

    def __init__(self, *_args: object, **_keywords: object) -> None:
        raise SandboxDenied("network access is not available in the sandbox")

    def __del__(self) -> None:
        """Close nothing."""


class DeniedPopen(subprocess.Popen):
    """A process that is never started."""

    def __init__(self, *_args: object, **_keywords: object) -> None:
        raise SandboxDenied("other processes are not available in the sandbox")

    def __del__(self, _maxsize: object = None) -> None:
        """Reap nothing."""


def install() -> None:
    """Put the clear refusals in place."""
    socket.socket = DeniedSocket
    socket.getaddrinfo = socket.gethostbyname = socket.create_connection = _refuse("network access is")
    subprocess.Popen = DeniedPopen
    for name in PROCESSES:
        if hasattr(os, name):
            setattr(os, name, _refuse("other processes are"))
    os.__getattr__ = _missing
    threads = _refuse("threads are")
    for module, name in ((_thread, "start_new_thread"), (_thread, "start_joinable_thread")):
        setattr(module, name, threads)
    threading._start_joinable_thread = threads  # noqa: SLF001 - it keeps the function by its own name


def _refuse(what: str) -> Callable[..., None]:
    def refused(*_args: object, **_keywords: object) -> None:
        raise SandboxDenied(f"{what} not available in the sandbox")

    return refused


def _missing(name: str) -> None:
    if name in PROCESSES:
        raise DeniedAttribute("other processes are not available in the sandbox")
    raise AttributeError(f"module 'os' has no attribute {name!r}")
