"""The parent's handle of one worker process."""

import asyncio
import contextlib
import os
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

_ready = msgspec.msgpack.Decoder(Ready)
_reply = msgspec.msgpack.Decoder(Reply)


class Worker:
    """A worker process that has said it is ready; it runs one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process, log: BinaryIO) -> None:
        self._process = process
        self._log = log
        self.runs = 0

    @classmethod
    async def start(cls, artifact: Path, timeout_s: float) -> "Worker":
        """Start a worker and wait until it is ready.

        Raises SandboxCrashed with its log if it does not get there in ``timeout_s``.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`, with the process
        try:
            self = cls(await _start_process(artifact, log), log)
        except OSError as error:
            log.close()
            raise SandboxCrashed(f"a sandbox worker did not start: {error}") from error
        try:
            async with asyncio.timeout(timeout_s):
                ready = _ready.decode(await self._read(1 << 16))
        except (TimeoutError, OSError, EOFError, msgspec.DecodeError) as error:
            raise SandboxCrashed(f"a sandbox worker did not start: {await self._end(error)}") from error
        except BaseException:
            await self.close()
            raise
        if ready.problem:
            await self.close()
            raise SandboxCrashed(
                f"a sandbox worker cannot run: {ready.problem}; rebuild it with `multiagent sandbox build --force`"
            )
        return self

    async def exchange(self, job: Job, max_frame: int) -> Reply:
        """Send a job and wait for its reply.

        Raises SandboxCrashed if the worker dies, or answers with what is not a reply of at most ``max_frame`` bytes.
        After any exception, cancellation included, the worker must be closed.
        """
        self.runs += 1
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - opened as a pipe
        try:
            stdin.write(frames.encode(job))
            await stdin.drain()
            return _reply.decode(await self._read(max_frame))
        except (OSError, EOFError, msgspec.DecodeError) as error:
            reason = await self._end(error)
            raise SandboxCrashed(f"the sandbox worker died: {reason}; it is replaced, try again") from error

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as is known."""
        return self._process.returncode is None

    def kill(self) -> None:
        """End the process at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End the process and wait until it is gone."""
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        self._log.close()

    async def _read(self, max_frame: int) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - opened as a pipe
        size = int.from_bytes(await stdout.readexactly(frames.HEADER), "big")
        if size > max_frame:
            raise EOFError(f"a frame of {size} bytes")
        return await stdout.readexactly(size)

    async def _end(self, error: BaseException) -> str:
        """Say why the process is of no use any more, and end it."""
        self.kill()
        await self._process.wait()
        end = os.fstat(self._log.fileno()).st_size
        log = os.pread(self._log.fileno(), LOG, max(0, end - LOG)).decode("utf-8", "replace").strip()
        await self.close()
        return f"exit {self._process.returncode}, {type(error).__name__} {error} {log}".strip()


async def _start_process(artifact: Path, log: BinaryIO) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-X", "utf8", "-c", worker.BOOT, PACKAGE_ROOT, str(artifact)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env={},
        cwd="/",
        start_new_session=True,
    )
