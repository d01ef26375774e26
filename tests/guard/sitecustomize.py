"""Keeps a process on this machine: a look-up or a connection to anywhere else is refused and written down.

The test run installs it in itself and, through PYTHONPATH, in every Python process that a test starts.
"""

import os
import sys

TRESPASSES = "TEST_NETWORK_TRESPASSES"
"""The variable that names the file in which refused addresses are written down."""

_LOCAL = {None, "", b"", "localhost", b"localhost", "::1", "::", "0.0.0.0", "<broadcast>"}


def is_local(host: object) -> bool:
    """Whether `host` (as given to a socket call) is this machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    return host in _LOCAL or (isinstance(host, str) and host.startswith("127."))


def _host(event: str, arguments: tuple[object, ...]) -> object:
    """The host that an audit event of the socket module is about, None when it is about none."""
    if event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        return arguments[0]
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        return address[0] if isinstance(address, tuple) and address else None
    return None


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: raises PermissionError for what would leave this machine."""
    if not event.startswith("socket."):
        return
    host = _host(event, arguments)
    if is_local(host):
        return
    log = os.environ.get(TRESPASSES)
    if log:
        with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is too heavy for every start
            file.write(f"{event} {host!r}\n")
    raise PermissionError(f"a test tried to reach {host!r}; tests stay on this machine")


if not os.environ.get("TEST_NETWORK_GUARD_OFF"):
    sys.addaudithook(refuse)
