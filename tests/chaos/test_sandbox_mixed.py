"""The sandbox stays fit over a thousand programs of every kind, hostile ones among them."""

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from multiagent.core.errors import PlatformError
from multiagent.sandbox import artifact
from multiagent.sandbox.base import Limits, RunRequest
from multiagent.sandbox.pooled import PooledSandbox
from multiagent.testing.sandbox_fixture import sandbox_cache  # noqa: F401 - a fixture

RUNS = 1000
WIDTH = 4
SHORT = Limits(timeout_s=0.05)
SMALL = Limits(memory_bytes=64 << 20, output_bytes=10_000)

# How often, what, and how it must end: a value as JSON, or an error's code.
MIX: tuple[tuple[int, RunRequest, str], ...] = (
    (60, RunRequest("print('hello')\n6 * 7"), "42"),
    (10, RunRequest("import statistics; statistics.mean(inputs)", inputs="[1, 2, 3]"), "2"),
    (5, RunRequest("1 / 0"), "ZeroDivisionError"),
    (4, RunRequest("while True: pass", limits=SHORT), "SANDBOX_TIMEOUT"),
    (2, RunRequest("import time; time.sleep(9)", limits=SHORT), "SANDBOX_TIMEOUT"),
    (4, RunRequest("while True: pass", limits=Limits(fuel=10_000_000)), "SANDBOX_FUEL"),
    (4, RunRequest("bytearray(1 << 30)", limits=SMALL), "SANDBOX_MEMORY"),
    (2, RunRequest("def f(n): return f(n + 1)\nf(0)"), "SANDBOX_STACK"),
    (2, RunRequest("import json; json.loads('[' * 100_000)"), "SANDBOX_STACK"),
    (3, RunRequest("while True: print('x' * 1000)", limits=SMALL), "SANDBOX_OUTPUT"),
    (3, RunRequest("import socket; socket.socket()"), "SANDBOX_DENIED"),
    (3, RunRequest("import os; os.abort()"), "SANDBOX_FAILED"),
    (3, RunRequest("import sys; sys.modules['guest_evaluate'].dumps = lambda *a, **k: '{}'"), "SANDBOX_PROTOCOL"),
)


async def end_of(sandbox: PooledSandbox, request: RunRequest) -> str:
    """Run a program and say how it ended."""
    try:
        result = await sandbox.run(request)
    except PlatformError as error:
        return error.code
    return result.value if result.error is None else result.error.type


@pytest.mark.requirement("A6")
async def test_the_pool_is_fit_after_a_thousand_mixed_runs(sandbox_cache: Path) -> None:  # noqa: F811 - the fixture
    """Every run ends as it must, also while workers are killed beside it."""
    chance = random.Random(7)
    jobs = iter(chance.choices(MIX, weights=[weight for weight, _, _ in MIX], k=RUNS))
    ends: Counter[str] = Counter()
    wrong: list[tuple[str, str]] = []
    async with PooledSandbox(lambda: artifact.require(sandbox_cache), size=2) as sandbox:

        async def work() -> None:
            for _, request, expected in jobs:
                end = await end_of(sandbox, request)
                ends[end] += 1
                if end != expected:
                    wrong.append((expected, end))
                if chance.random() < 0.02:
                    kill_an_idle_worker(sandbox)

        await asyncio.gather(*(work() for _ in range(WIDTH)))
        assert (await sandbox.run(RunRequest("6 * 7"))).value == "42"
    print(dict(ends))
    assert wrong == []
    assert ends.total() == RUNS
    assert len(ends) == len({expected for _, _, expected in MIX})


def kill_an_idle_worker(sandbox: PooledSandbox) -> None:
    """Kill a worker that runs nothing; whoever would lease it next must not notice."""
    assert sandbox._pool is not None
    for worker in sandbox._pool._idle:
        if worker.alive:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
            return
