"""The parent's handle of one worker process."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec

from multiagent.core.errors import SandboxCrashed
from multiagent.sandbox import frames, worker
from multiagent.sandbox.frames import Job, Ready, Reply

PACKAGE_ROOT = str(Path(__file__).parents[2])
LOG = 2_000
READ_AHEAD = 1 << 20

_ready = msgspec.msgpack.Decoder(Ready)
_reply = msgspec.msgpack.Decoder(Reply)


class Worker:
    """A worker process; it runs one job at a time.

    It is a plain child, not one of asyncio's: whether it lives must be known exactly, and reaped by one party.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log: BinaryIO,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._log = log
        self._reader = reader
        self._writer = writer
        self.runs = 0

    @classmethod
    async def start(cls, artifact: Path) -> "Worker":
        """Start a worker; it can run programs once ``ready`` has returned.

        Must not be cancelled: a process that is half made cannot be closed. Raises SandboxCrashed.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`, with the process
        ours, theirs = socket.socketpair()
        try:
            process = _exec(artifact, theirs, log)
        except OSError as error:
            log.close()
            ours.close()
            raise SandboxCrashed(f"a sandbox worker did not start: {error}") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_AHEAD)
        return cls(process, log, reader, writer)

    async def ready(self, timeout_s: float) -> None:
        """Wait until the worker can run programs.

        Raises SandboxCrashed, with the process's own words, if it cannot, or not in ``timeout_s``.
        After any exception the worker must be closed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                ready = _ready.decode(await self._read(1 << 16))
        except (TimeoutError, OSError, EOFError, msgspec.DecodeError) as error:
            raise SandboxCrashed(f"a sandbox worker did not start: {await self._end(error)}") from error
        if ready.problem:
            raise SandboxCrashed(
                f"a sandbox worker cannot run: {ready.problem}; rebuild it with `multiagent sandbox build --force`"
            )

    async def exchange(self, job: Job, max_frame: int) -> Reply:
        """Send a job and wait for its reply.

        Raises SandboxCrashed if the worker dies, or answers with what is not a reply of at most ``max_frame`` bytes.
        After any exception, cancellation included, the worker must be closed.
        """
        self.runs += 1
        try:
            self._writer.write(frames.encode(job))
            await self._writer.drain()
            return _reply.decode(await self._read(max_frame))
        except (OSError, EOFError, msgspec.DecodeError) as error:
            reason = await self._end(error)
            raise SandboxCrashed(f"the sandbox worker died: {reason}; it is replaced, try again") from error

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    async def close(self) -> None:
        """End the process and wait until it is gone; may be called again."""
        await self._reap()
        self._writer.close()
        self._log.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _reap(self) -> None:
        self._process.kill()
        if self._process.poll() is None:
            await asyncio.to_thread(self._process.wait)

    async def _read(self, max_frame: int) -> bytes:
        size = int.from_bytes(await self._reader.readexactly(frames.HEADER), "big")
        if size > max_frame:
            raise EOFError(f"a frame of {size} bytes")
        return await self._reader.readexactly(size)

    async def _end(self, error: BaseException) -> str:
        """End the process and say why it was of no use any more."""
        await self._reap()
        log = b""
        if not self._log.closed:
            size = os.fstat(self._log.fileno()).st_size
            log = os.pread(self._log.fileno(), LOG, max(0, size - LOG))
        said = log.decode("utf-8", "replace").strip()
        return f"exit {self._process.returncode}, {type(error).__name__} {error} {said}".strip()


def _exec(artifact: Path, channel: socket.socket, log: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-c", worker.BOOT, PACKAGE_ROOT, str(artifact)],
        stdin=channel.fileno(),
        stdout=channel.fileno(),
        stderr=log.fileno(),
        env={},
        cwd="/",
        start_new_session=True,
    )
