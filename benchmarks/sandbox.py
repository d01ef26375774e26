"""What a sandboxed program costs through the pool, beside a native interpreter in the same run.

    python -m benchmarks.sandbox [--runs N]

Prints wall and CPU milliseconds of ``print("hello")``, a fresh instance each (CPU: host side and workers together, with
the instances that workers make ahead), how long a killed worker takes to be replaced, and by how much time limits are
overrun.
"""

import argparse
import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from multiagent.core.errors import SandboxCrashed, SandboxTimeout
from multiagent.sandbox import artifact
from multiagent.sandbox.base import Grant, Limits, RunRequest
from multiagent.sandbox.factory import default_cache_dir, ensure_built
from multiagent.sandbox.pooled import PooledSandbox

HELLO = 'print("hello")'
WARM_UP = 20
PAUSE_S = 0.01
LIMIT_S = 0.2
LATE = {
    "endless loop": "while True: pass",
    "sleep": "import time; time.sleep(9)",
    "slow pattern": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "blocked in the host": "open('/d/pipe').read()",
}


def line(what: str, value: str, aim: str = "") -> None:
    """Print one row."""
    print(f"{what:<44} {value:>26}  {aim}")


def spread(values: list[float]) -> str:
    """Say a list of milliseconds as its median and 95th percentile."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return f"p50 {statistics.median(values):6.2f}  p95 {cuts[18]:6.2f} ms"


def native(runs: int) -> tuple[list[float], float]:
    """Wall milliseconds of each start of a native interpreter, and CPU milliseconds a start."""
    walls = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", HELLO], check=True, stdout=subprocess.DEVNULL)
        walls.append((time.perf_counter() - started) * 1e3)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return walls, cpu * 1e3 / runs


def processor_ms(sandbox: PooledSandbox) -> float:
    """CPU milliseconds that this process and the pool's idle workers have used so far (workers: only Linux tells)."""
    total = time.process_time() * 1e3
    for worker in sandbox.pool.idle:
        stat = Path(f"/proc/{worker.pid}/stat")
        if stat.exists():
            user, system = stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
            total += (int(user) + int(system)) * 1e3 / os.sysconf("SC_CLK_TCK")
    return total


async def pooled(sandbox: PooledSandbox, runs: int, pause_s: float = 0.0) -> tuple[list[float], float]:
    """Wall milliseconds of each run through the pool, and CPU milliseconds a run, all processes together."""
    walls = []
    for _ in range(WARM_UP):
        await sandbox.run(RunRequest(HELLO))
    cpu = processor_ms(sandbox)
    for _ in range(runs):
        started = time.perf_counter()
        await sandbox.run(RunRequest(HELLO))
        walls.append((time.perf_counter() - started) * 1e3)
        await asyncio.sleep(pause_s)
    return walls, (processor_ms(sandbox) - cpu) / runs


async def replacement(runtime: Callable[[], Path], runs: int) -> list[float]:
    """Milliseconds from the death of a pool's only worker, at work, to the answer of the next program."""
    walls = []
    async with PooledSandbox(runtime, size=1, spare=0) as sandbox:
        for _ in range(runs):
            await sandbox.run(RunRequest(HELLO))
            run = asyncio.ensure_future(sandbox.run(RunRequest("while True: pass")))
            await asyncio.sleep(0.02)
            (worker,) = sandbox.pool.leased
            started = time.perf_counter()
            worker.kill()
            try:
                await run
            except SandboxCrashed:
                await sandbox.run(RunRequest(HELLO))
            walls.append((time.perf_counter() - started) * 1e3)
    return walls


async def overrun(sandbox: PooledSandbox, code: str, runs: int) -> float:
    """By how many milliseconds a time limit is overrun, at worst."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(Path(folder, "pipe"))
        request = RunRequest(code, grants=(Grant(folder, "/d"),), limits=Limits(timeout_s=LIMIT_S))
        for _ in range(runs):
            started = time.perf_counter()
            try:
                await sandbox.run(request)
            except SandboxTimeout:
                worst = max(worst, time.perf_counter() - started - LIMIT_S)
    return worst * 1e3


async def measure(runs: int) -> None:
    """Print every number."""
    cache = default_cache_dir(os.environ)
    ensure_built(cache, lambda _stage, _fraction: None)

    def runtime() -> Path:
        return artifact.require(cache)

    async with PooledSandbox(runtime, size=1) as sandbox:
        walls, cpu = await pooled(sandbox, runs)
        spaced, _ = await pooled(sandbox, runs // 5, PAUSE_S)
        base_walls, base_cpu = native(max(20, runs // 10))
        line("sandboxed hello through the pool", spread(walls), "aim p50 ≤ 5, p95 ≤ 15")
        line("the same, one every 10 ms", spread(spaced))
        line("python -I -c hello", spread(base_walls), "baseline")
        line("CPU of a sandboxed hello", f"{cpu:.2f} ms")
        line("CPU of python -I -c hello", f"{base_cpu:.2f} ms", f"baseline, {base_cpu / cpu:.1f}×")
        for name, code in LATE.items():
            line(f"time limit overrun: {name}", f"worst {await overrun(sandbox, code, 5):6.1f} ms", "aim ≤ 250")
    line("worker replaced, next program answered", spread(await replacement(runtime, 10)), "aim ≤ 400")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    asyncio.run(measure(parser.parse_args().runs))


if __name__ == "__main__":
    main()
