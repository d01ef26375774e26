"""The pool of workers: bounded, replaced when it must be, gone when it is closed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.core.errors import SandboxBusy, SandboxCrashed, SandboxError, SandboxUnbuilt
from multiagent.sandbox import artifact
from multiagent.sandbox.base import Limits, RunRequest
from multiagent.sandbox.factory import open_sandbox
from multiagent.sandbox.pooled import PooledSandbox
from multiagent.sandbox.process import Worker
from multiagent.testing.sandbox_fixture import sandbox_cache  # noqa: F401 - a fixture

GUARD_S = 30.0
ENDLESS = RunRequest("while True: pass", limits=Limits(timeout_s=GUARD_S))
SLOW = RunRequest("import time; time.sleep(0.3)\n1")
HELLO = RunRequest("print('hello')")


@pytest.fixture
async def sandbox(sandbox_cache: Path) -> AsyncIterator[PooledSandbox]:  # noqa: F811 - the fixture above
    async with PooledSandbox(lambda: artifact.require(sandbox_cache), size=2, max_waiting=4) as opened:
        yield opened


def processes(sandbox: PooledSandbox) -> list[int]:
    """The process ids of the idle workers."""
    assert sandbox._pool is not None
    return [worker.pid for worker in sandbox._pool._idle]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(pid: int) -> None:
    """Kill a process and wait until it is dead, without reaping it."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def is_alive(pid: int) -> bool:
    """Whether a process runs, dead ones that nobody has reaped left out."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return is_running(pid) and (not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z")
    except FileNotFoundError:
        return False


async def until_busy(sandbox: PooledSandbox, count: int = 1) -> set[Worker]:
    """Wait until so many workers are at work, and return them."""
    async with asyncio.timeout(GUARD_S):
        while sandbox._pool is None or len(sandbox._pool._leased) < count:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0)
    return sandbox._pool._leased


async def test_cancelling_the_caller_ends_its_worker_at_once(sandbox: PooledSandbox) -> None:
    run = asyncio.ensure_future(sandbox.run(ENDLESS))
    await until_busy(sandbox)
    started = time.monotonic()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await sandbox.run(HELLO)).stdout == "hello\n"
    assert time.monotonic() - started < GUARD_S / 2


async def test_a_killed_worker_is_one_retryable_error_and_is_replaced(sandbox: PooledSandbox) -> None:
    run = asyncio.ensure_future(sandbox.run(ENDLESS))
    (leased,) = await until_busy(sandbox)
    os.kill(leased.pid, signal.SIGKILL)
    with pytest.raises(SandboxCrashed) as caught:
        await run
    assert caught.value.retryable
    assert (await sandbox.run(HELLO)).stdout == "hello\n"


@pytest.mark.requirement("S.performance.preload")
async def test_an_idle_worker_that_died_is_not_leased(sandbox: PooledSandbox) -> None:
    await sandbox.run(HELLO)
    for pid in processes(sandbox):
        kill(pid)
    assert (await sandbox.run(HELLO)).stdout == "hello\n"


async def test_runs_programs_side_by_side(sandbox: PooledSandbox) -> None:
    results = await asyncio.gather(*(sandbox.run(SLOW) for _ in range(4)))
    assert [result.value for result in results] == ["1"] * 4


async def test_refuses_when_the_queue_is_full(sandbox: PooledSandbox) -> None:
    runs = [asyncio.ensure_future(sandbox.run(ENDLESS)) for _ in range(2)]
    await until_busy(sandbox, 2)
    runs += [asyncio.ensure_future(sandbox.run(ENDLESS)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(SandboxBusy) as caught:
        await sandbox.run(HELLO)
    assert caught.value.retryable
    for run in runs:
        run.cancel()
    await asyncio.wait(runs)


async def test_refuses_when_no_worker_becomes_free_in_time(sandbox_cache: Path) -> None:  # noqa: F811 - as above
    async with PooledSandbox(lambda: artifact.require(sandbox_cache), size=1, lease_timeout_s=0.05) as sandbox:
        sandbox._lease_timeout_s = GUARD_S
        first = asyncio.ensure_future(sandbox.run(ENDLESS))
        await until_busy(sandbox)
        sandbox._lease_timeout_s = 0.05
        with pytest.raises(SandboxBusy):
            await sandbox.run(HELLO)
        first.cancel()
        await asyncio.wait([first])


async def test_a_caller_that_gives_up_in_the_queue_costs_no_worker(sandbox: PooledSandbox) -> None:
    runs = [asyncio.ensure_future(sandbox.run(SLOW)) for _ in range(4)]
    await until_busy(sandbox, 2)
    runs[2].cancel()
    done = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(done[2], asyncio.CancelledError)
    assert [result.value for result in done if not isinstance(result, BaseException)] == ["1"] * 3
    assert (await sandbox.run(HELLO)).stdout == "hello\n"


async def test_closing_ends_every_worker_and_fails_who_waits(sandbox_cache: Path) -> None:  # noqa: F811 - as above
    sandbox = PooledSandbox(lambda: artifact.require(sandbox_cache), size=1)
    async with sandbox:
        await sandbox.run(HELLO)
        pids = processes(sandbox)
        assert pids
    assert not [pid for pid in pids if is_running(pid)]
    with pytest.raises(SandboxError):
        await sandbox.run(HELLO)


async def test_closing_fails_a_run_in_flight(sandbox_cache: Path) -> None:  # noqa: F811 - as above
    async with PooledSandbox(lambda: artifact.require(sandbox_cache), size=1) as sandbox:
        run = asyncio.ensure_future(sandbox.run(ENDLESS))
        (leased,) = await until_busy(sandbox)
        pid = leased.pid
    assert not is_running(pid)
    with pytest.raises(SandboxError):
        await run


async def test_a_worker_ends_with_its_parent(sandbox_cache: Path) -> None:  # noqa: F811 - as above
    worker = await Worker.start(artifact.require(sandbox_cache))
    await worker.ready(GUARD_S)
    worker._writer.close()
    assert await asyncio.to_thread(worker._process.wait, GUARD_S) == 0
    await worker.close()


ORPHAN = """
import asyncio, sys
from pathlib import Path
from multiagent.sandbox import artifact
from multiagent.sandbox.base import RunRequest
from multiagent.sandbox.pooled import PooledSandbox

async def main():
    async with PooledSandbox(lambda: artifact.require(Path(sys.argv[1])), size=1, spare=0) as sandbox:
        run = asyncio.ensure_future(sandbox.run(RunRequest("while True: pass")))
        while not sandbox.pool.leased:
            await asyncio.sleep(0)
        (worker,) = sandbox.pool.leased
        print(worker.pid, flush=True)
        await run

asyncio.run(main())
"""


def test_a_busy_worker_ends_soon_after_its_parent_was_killed(sandbox_cache: Path) -> None:  # noqa: F811 - as above
    """Nothing is left running by a kill that gives nobody time to clean up."""
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, str(sandbox_cache)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate(timeout=GUARD_S)
    end = time.monotonic() + GUARD_S
    while is_alive(pid):
        assert time.monotonic() < end
        os.sched_yield()


async def test_says_what_to_do_when_the_runtime_is_not_built(tmp_path: Path) -> None:
    async with open_sandbox(tmp_path) as sandbox:
        with pytest.raises(SandboxUnbuilt, match="multiagent sandbox build"):
            await sandbox.run(HELLO)


async def test_says_what_to_do_when_the_runtime_is_damaged(tmp_path: Path) -> None:
    broken = tmp_path / "broken.cwasm"
    broken.write_bytes(b"not a runtime")
    async with PooledSandbox(lambda: broken) as sandbox:
        with pytest.raises(SandboxCrashed, match="sandbox build --force"):
            await sandbox.run(HELLO)
