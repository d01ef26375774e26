"""Temporal itself: its development server, on free ports of this machine, with its state in a file.

``tests/servers.py`` has the fixture ``temporal_server``, one server a test process; a test takes a namespace of its
own.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final

FETCHED: Final = Path(__file__).parents[4] / ".cache" / "servers" / "bin"
READY_S: Final = 60.0
"""How long a start may take."""
_CARELESS: Final = ("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=OFF")
"""Its state survives the server's death, not the machine's; with both, a busy disk makes steps take seconds."""
_TRIES: Final = 3
_PAUSE: Final = 0.05


def program() -> str | None:
    """Return the path of the Temporal CLI: on PATH, or where ``make servers`` puts it; None where there is none."""
    return shutil.which("temporal") or shutil.which("temporal", path=str(FETCHED))


class TemporalServer:
    """A server with a new state of its own in ``folder``; ``close`` ends it and deletes that. It keeps its address over
    restarts.
    """

    def __init__(self) -> None:
        found = program()
        if found is None:
            raise FileNotFoundError("there is no Temporal here: run `make servers`, or put the Temporal CLI on PATH")
        self._program = found
        self.folder = Path(tempfile.mkdtemp(prefix="multiagent-temporal-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._ports = _free_ports(2)
        for _ in range(_TRIES):
            if self._begin():
                return
            self.kill()
            self._ports = _free_ports(2)  # somebody may have taken one meanwhile
        raise RuntimeError(f"Temporal did not start:\n{self._said()}")

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self._ports[0]}"

    def start(self) -> None:
        """Start again after ``stop`` and ``kill``, on the same port and state; return once it answers."""
        if not self._begin():
            raise RuntimeError(f"Temporal did not start again:\n{self._said()}")

    def stop(self) -> None:
        """End in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it stand still: connections stay open and nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after ``pause``."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End and delete the state."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def namespace(self) -> str:
        """Make a namespace; return its name once it can be used."""
        from google.protobuf.duration_pb2 import Duration
        from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
        from temporalio.client import Client
        from temporalio.service import RPCError, RPCStatusCode

        self._made += 1
        name = f"test-{os.getpid()}-{self._made}"
        client = await Client.connect(self.address, namespace=name)
        request = RegisterNamespaceRequest(
            namespace=name, workflow_execution_retention_period=Duration(seconds=24 * 3600)
        )
        await client.workflow_service.register_namespace(request, timeout=timedelta(seconds=READY_S))
        async with asyncio.timeout(READY_S):
            while True:  # each part of the server learns of it in its own time
                try:
                    await client.count_workflows()
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                    await asyncio.sleep(_PAUSE)
                else:
                    return name

    def _begin(self) -> bool:
        port, http = self._ports
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "server", "start-dev", "--headless", "--port", str(port), "--http-port", str(http),
                 "--db-filename", str(self.folder / "temporal.db"), "--log-level", "error", *_CARELESS],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        for _ in range(round(READY_S / _PAUSE)):
            if self._answers():
                return True
            try:
                self._process.wait(_PAUSE)
            except subprocess.TimeoutExpired:
                continue
            return False
        return False

    def _answers(self) -> bool:
        """Whether it answers a call; its port is open before that."""
        from temporalio.client import Client

        try:
            socket.create_connection(("127.0.0.1", self._ports[0]), timeout=1).close()
        except OSError:
            return False
        with ThreadPoolExecutor(1) as pool:  # a loop of its own, also where the caller is in one
            try:
                pool.submit(asyncio.run, Client.connect(self.address)).result(READY_S)
            except RuntimeError:
                return False
        return True

    def _said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(READY_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(READY_S)


def _free_ports(count: int) -> tuple[int, ...]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(int(one.getsockname()[1]) for one in sockets)
    finally:
        for one in sockets:
            one.close()
