# mypy: ignore-errors
# ruff: noqa: INP001
"""What a sandbox cannot do says so clearly, instead of failing in the depth of the standard library.

These are courtesies to the program's author: the host denies the same things whether they are here or not.
"""

import _thread
import os
import socket
import subprocess


class SandboxDenied(PermissionError):
    """Raised where a program asks for a capability that the sandbox does not grant."""


def install() -> None:
    """Put the clear refusals in place."""

    def refuse(what: str) -> object:
        def refused(*_args: object, **_keywords: object) -> None:
            raise SandboxDenied(f"{what} not available in the sandbox")

        return refused

    network = refuse("network access is")
    processes = refuse("other processes are")
    threads = refuse("threads are")

    class DeniedSocket(socket.socket):
        def __init__(self, *_args: object, **_keywords: object) -> None:
            raise SandboxDenied("network access is not available in the sandbox")

        def __del__(self) -> None:
            return

    socket.socket = DeniedSocket
    socket.getaddrinfo = socket.gethostbyname = socket.create_connection = network

    class DeniedPopen(subprocess.Popen):
        def __init__(self, *_args: object, **_keywords: object) -> None:
            raise SandboxDenied("other processes are not available in the sandbox")

        def __del__(self, _maxsize: object = None) -> None:
            return

    subprocess.Popen = DeniedPopen
    for name in ("system", "popen", "fork", "execv", "execve", "spawnv", "posix_spawn", "kill"):
        setattr(os, name, processes)
    _thread.start_new_thread = threads
    _thread.start_joinable_thread = threads
