"""Every benchmark, one after the other, each in a process of its own.

    python -m benchmarks [NAME]...

Each prints its numbers beside their baselines from the same run. Quote CPU time and ratios: other work on the machine
only adds to both.
"""

import subprocess
import sys
from pathlib import Path

PEERS = {"langgraph_job"}
"""Run by the benchmarks themselves, in environments of their own."""


def names() -> list[str]:
    """The benchmarks of this folder."""
    files = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    return [name for name in files if name not in PEERS]


def main(asked: list[str]) -> int:
    """Run what is asked for, everything if nothing is; 1 if one of them failed, 2 for an unknown name."""
    unknown = sorted(set(asked) - set(names()))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in asked or names():
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
