"""How long the terminal takes: `--help`, and a simple run to its exit, beside a bare interpreter in the same run.

    python -m benchmarks.start [--rounds N]

The sandbox runtime is built before; every run has a data folder of its own. Prints wall and CPU time, median and best.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TERMINAL = [str(Path(sys.executable).with_name("multiagent"))]
CASES: tuple[tuple[str, list[str], float | None], ...] = (
    ("python -I -c pass", [sys.executable, "-I", "-c", "pass"], None),
    ("python -c 'import asyncio, sqlite3, typer'", [sys.executable, "-c", "import asyncio, sqlite3, typer"], None),
    ("multiagent --help", [*TERMINAL, "--help"], 0.2),
    ("multiagent run, simple", [*TERMINAL, "run", "What is 12 * (3 + 4)?"], 1.5),
)


def once(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process and its children, from start to exit."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "MULTIAGENT_HOME": home}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    subprocess.run([*TERMINAL, "sandbox", "build"], check=True, capture_output=True)
    print(f"{rounds} rounds, seconds{'':<24} wall median   best    CPU median   best")
    for name, command, aim in CASES:
        once(command)  # fills the caches of bytecode and files
        walls, cpus = zip(*(once(command) for _ in range(rounds)), strict=True)
        verdict = "" if aim is None else f"   aim <= {aim} wall  {'ok' if min(walls) <= aim else 'MISSED'}"
        print(
            f"  {name:<42} {statistics.median(walls):6.3f} {min(walls):8.3f} {statistics.median(cpus):10.3f}"
            f" {min(cpus):8.3f}{verdict}"
        )


if __name__ == "__main__":
    main()
