"""A process that makes model calls until it dies: HOME URL COUNT PARALLEL LIMIT [FAULT NTH].

With GATE_DATABASE several do so on one PostgreSQL, and GATE_FIRST is the number of the first question. GATE_TOGETHER
lets it wait, once it is ready, for a line on its input.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from multiagent.core.budget import Limit, ScopeLimit, ScopeRef
from multiagent.core.errors import BudgetExceeded
from multiagent.core.fault import set_action
from multiagent.llm.gate_endpoints import Serving
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.providers.http import Connections
from multiagent.llm.providers.openai import OpenAiProvider
from multiagent.testing.suites.llm import TENANT, asks, calls
from multiagent.testing.vendor_stub import stub_model
from tests.adapters.gate_bench import gate_over

SCOPES = (ScopeRef("task", "t1"), ScopeRef("user", "ada"), ScopeRef("tenant", TENANT))


def die_at(place: str, nth: int) -> None:
    """Kill this process the nth time that it passes the place."""
    passed = 0

    def action(name: str) -> None:
        nonlocal passed
        passed += name == place
        if passed == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    set_action(action)


async def main(home: Path, url: str, count: int, parallel: int, limit: int) -> None:
    """Make the calls that are not made yet, print each, then wait to be killed."""
    width = asyncio.Semaphore(parallel)
    database, first = os.environ.get("GATE_DATABASE", ""), int(os.environ.get("GATE_FIRST", "0"))
    async with Connections() as connections:
        provider = OpenAiProvider("fake", url, "key", connections, Profile(), Timeouts())
        serving = Serving(stub_model(vendor="fake"), provider)
        async with gate_over(home, [serving], owner=f"worker-{os.getpid()}", url=database) as bench:
            if not database:
                await bench.gate.recover(TENANT)
            if "GATE_TOGETHER" in os.environ:
                print("ready", flush=True)
                await asyncio.to_thread(sys.stdin.readline)

            async def one(number: int) -> None:
                scopes = [ScopeLimit(scope, Limit(tokens=limit)) for scope in SCOPES]
                async with width:
                    try:
                        await bench.gate.complete(
                            asks(f"question {number:03}"), calls(bench.clock, *scopes, key=f"key-{number}")
                        )
                    except BudgetExceeded:
                        print("refused", number, flush=True)
                    else:
                        print("answered", number, flush=True)

            await asyncio.gather(*(one(number) for number in range(first, first + count)))
        print("idle", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) > 6:
        die_at(sys.argv[6], int(sys.argv[7]))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])))
