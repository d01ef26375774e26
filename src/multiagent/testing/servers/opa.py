"""OPA itself, as a server on a free port of this machine; ``opa`` from PATH, or as ``make servers`` fetched it."""

import shutil
import socket
import subprocess
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

READY_S: Final = 30.0
"""How long a start may take."""

_FETCHED: Final = Path(__file__).parents[4] / ".cache" / "servers" / "bin"


def program() -> str | None:
    """Return where OPA is; None where it is not."""
    return shutil.which("opa") or shutil.which("opa", path=str(_FETCHED))


class OpaProcess:
    """A server that runs the bundles in some folders (none: no rules); ``close`` ends it. Use it from one thread."""

    def __init__(self, *arguments: str) -> None:
        found = program()
        if found is None:
            raise FileNotFoundError("there is no opa here: run `make servers`, which needs Go, or put one on PATH")
        self._command = [found, "run", "--server", "--disable-telemetry", "--log-level=error", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, also after ``kill``, on the same port; return once it answers."""
        self._process = subprocess.Popen(
            [*self._command, "--addr", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.02)
        raise RuntimeError(f"OPA did not start: {' '.join(self._command)}")

    def kill(self) -> None:
        """End as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(READY_S)
            self._process = None

    def close(self) -> None:
        """End it."""
        self.kill()

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=READY_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
