"""The sandbox adapter: checks a request, leases a worker, watches it, and judges what it says."""

import asyncio
import contextlib
import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from multiagent.core.errors import InvalidInput, SandboxCrashed, SandboxDenied, SandboxDisk, SandboxTimeout
from multiagent.sandbox.base import Limits, RunRequest, RunResult
from multiagent.sandbox.frames import Job, Mount, Reply
from multiagent.sandbox.pool import Pool
from multiagent.sandbox.process import Worker
from multiagent.sandbox.quota import Quota
from multiagent.sandbox.verdict import disk_message, judge

FILES = "/files"
FOLDER_PREFIX = "multiagent-run-"
LEFT_S = 24 * 3600.0
# How long after its deadline a worker may still answer by itself before it is killed.
GRACE_S = 0.15
LANGUAGES = ("python",)
RESERVED = ("/", FILES)
MAX_NAME = 255
MAX_CODE = 1 << 20
MAX_INPUTS = 32 << 20
# An envelope's error, the frame's own fields.
FRAME_OVERHEAD = 1 << 20


class PooledSandbox:
    """Runs programs in a pool of worker processes.

    ``artifact`` is called once, when the first worker is needed, and may raise SandboxUnbuilt.
    """

    def __init__(
        self,
        artifact: Callable[[], Path],
        *,
        size: int = 2,
        spare: int = 1,
        max_waiting: int = 64,
        lease_timeout_s: float = 30.0,
    ) -> None:
        self._artifact = artifact
        self._size = size
        self._spare = spare
        self._max_waiting = max_waiting
        self._lease_timeout_s = lease_timeout_s
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            await self._pool.close()

    @property
    def pool(self) -> Pool:
        """The pool, made on first use; raises SandboxUnbuilt."""
        if self._pool is None:
            artifact = self._artifact()
            sweep(Path(tempfile.gettempdir()), time.time())
            self._pool = Pool(artifact, size=self._size, spare=self._spare, max_waiting=self._max_waiting)
        return self._pool

    def workers(self) -> Mapping[str, int]:
        """See ``Sandbox.workers``."""
        pool = self._pool
        if pool is None:
            return {"busy": 0, "idle": 0, "waiting": 0}
        return {"busy": len(pool.leased), "idle": len(pool.idle), "waiting": pool.waiting}

    def warm(self) -> None:
        """Begin to start a worker, so that the first program finds it ready; raises SandboxUnbuilt."""
        self.pool.warm()

    async def run(self, request: RunRequest) -> RunResult:
        """See ``Sandbox.run``."""
        check(request)
        pool = self.pool
        async with _files_of(request) as folder:
            job = job_of(request, folder)
            quota = await _quota_of(request)
            worker = await pool.lease(self._lease_timeout_s)
            healthy = False
            try:
                reply = await _run_on(worker, job, request.limits, quota)
                healthy = not reply.spent
            finally:
                pool.release(worker, healthy=healthy)
        return judge(reply, request.limits)


def sweep(folder: Path, now: float) -> None:
    """Remove the files of runs that were killed together with their process, once they are a day old."""
    for left in folder.glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            info = left.lstat()
            if info.st_uid == os.geteuid() and now - info.st_mtime > LEFT_S:
                shutil.rmtree(left, ignore_errors=True)


def check(request: RunRequest) -> None:
    """Refuse a request that makes no sense.

    Raises InvalidInput (language, inputs, limits, file names), SandboxDenied (a folder that cannot be granted).
    """
    if request.language not in LANGUAGES:
        raise InvalidInput(f"the sandbox does not run {request.language!r}; it runs {', '.join(LANGUAGES)}")
    limits = request.limits
    if min(limits.timeout_s, limits.memory_bytes, limits.fuel, limits.output_bytes, limits.value_bytes) <= 0:
        raise InvalidInput("every sandbox limit must be above zero")
    names = [name for name, _ in request.files]
    for name in names:
        if not name or name in {".", ".."} or "/" in name or "\0" in name or len(name.encode()) > MAX_NAME:
            raise InvalidInput(f"{name!r} is not a plain file name")
    if len(set(names)) < len(names):
        raise InvalidInput("two files for the sandbox have the same name")
    guests = [grant.guest for grant in request.grants]
    for grant in request.grants:
        if not _is_plain_path(grant.guest) or grant.guest in RESERVED:
            raise InvalidInput(f"{grant.guest!r} is not an absolute, plain path of the guest's to grant a folder at")
        if not Path(grant.path).is_dir():
            raise SandboxDenied(f"{grant.path} is not a folder, so it cannot be granted")
    if len(set(guests)) < len(guests):
        raise InvalidInput("two grants have the same path in the guest")


def _is_plain_path(path: str) -> bool:
    return path[:1] == "/" != path[1:2] and posixpath.normpath(path) == path and "\0" not in path


def job_of(request: RunRequest, folder: str | None) -> Job:
    """Return what the worker is sent; ``folder`` holds the request's files, if it has any.

    Raises InvalidInput if ``inputs`` is not JSON, or too much.
    """
    if len(request.inputs) > MAX_INPUTS or len(request.code) > MAX_CODE:
        raise InvalidInput(
            f"a program may have {MAX_CODE:,} characters and its inputs {MAX_INPUTS:,}; give larger data as files"
        )
    try:
        inputs = msgspec.json.decode(request.inputs)
        asked = {"code": request.code, "inputs": inputs, "folder": FILES if folder else None}
        text = msgspec.json.encode(asked).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InvalidInput(f"the program or its inputs are not valid text or JSON: {error}") from None
    mounts = tuple(Mount(os.path.realpath(grant.path), grant.guest, grant.writable) for grant in request.grants)
    if folder is not None:
        mounts += (Mount(folder, FILES, writable=False),)
    limits = request.limits
    return Job(
        request=text,
        mounts=mounts,
        timeout_s=limits.timeout_s,
        memory_bytes=limits.memory_bytes,
        fuel=limits.fuel,
        output_bytes=limits.output_bytes,
        value_bytes=limits.value_bytes,
        file_bytes=limits.writable_bytes,
        table_elements=limits.table_elements,
        instances=limits.instances,
    )


async def _run_on(worker: Worker, job: Job, limits: Limits, quota: Quota | None) -> Reply:
    """Run a job on a leased worker, and end the worker if it is late or fills its folders."""
    watch = None if quota is None else asyncio.ensure_future(quota.watch(worker.kill))
    max_frame = limits.output_bytes + 8 * limits.value_bytes + FRAME_OVERHEAD
    try:
        async with asyncio.timeout(limits.timeout_s + GRACE_S):
            reply = await worker.exchange(job, max_frame)
    except TimeoutError:
        raise SandboxTimeout(
            f"the program did not stop by itself after {limits.timeout_s:g} s, so its process was ended"
        ) from None
    except SandboxCrashed:
        if quota is not None and quota.exceeded:
            raise SandboxDisk(disk_message(limits)) from None
        raise
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.wait((watch,))
    if quota is not None and await quota.check():
        raise SandboxDisk(disk_message(limits))
    return reply


async def _quota_of(request: RunRequest) -> Quota | None:
    paths = [os.path.realpath(grant.path) for grant in request.grants if grant.writable]
    if not paths:
        return None
    quota = Quota(paths, request.limits.writable_bytes)
    await quota.measure()
    return quota


@asynccontextmanager
async def _files_of(request: RunRequest) -> AsyncIterator[str | None]:
    """Lay a request's files into a folder of their own for as long as it runs."""
    if not request.files:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:
        await asyncio.to_thread(_write_all, folder, request.files)
        yield folder


def _write_all(folder: str, files: tuple[tuple[str, bytes], ...]) -> None:
    for name, data in files:
        Path(folder, name).write_bytes(data)
