"""What a policy decision costs: CPU milliseconds, uncached and cached, on the default bundle.

Beside it in the same run: the same rules as a plain Python predicate, and regopy's own `query()`, which compiles the
query anew each time. Times of opening (vetted before) and of the first vetting are printed below.

    python benchmarks/policy.py [--decisions 2000]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import regopy

from multiagent.core.decision import Ask, CodeFacts, Decision, ModelAsk, ToolAsk
from multiagent.core.principal import Principal
from multiagent.policy.base import Policy
from multiagent.policy.bundle import read_bundle
from multiagent.policy.factory import default_bundle, open_policy
from multiagent.policy.facts import document

ROUNDS = 5
UNCACHED_MS, CACHED_MS = 0.5, 0.02
AGENT = Principal("acme", "ada", permissions=("code_execution",), agent="a1")


def questions(count: int) -> list[Ask]:
    """Return as many different questions: a third each of tools, code and models."""
    code = CodeFacts("python", "ab" * 32, 400, ("eval",))
    found: list[Ask] = []
    for number in range(0, count, 3):
        hashed = f"{number:064x}"
        found.append(ToolAsk(AGENT, "calculator", "basic", True, hashed))
        found.append(ToolAsk(AGENT, "python", "code", True, hashed, ("private", "untrusted"), code))
        found.append(ModelAsk(AGENT, "offline", "rules", "small", number, ("private",)))
    return found[:count]


def predicate(ask: Ask) -> Decision:
    """The same rules in Python, as far as these questions go."""
    who = ask.principal
    if not who.authenticated or who.role == "guest" or (who.role == "admin" and who.agent):
        return Decision(False, ("not a member",))
    if isinstance(ask, ModelAsk):
        return Decision(True)
    if isinstance(ask, ToolAsk) and ask.group == "code":
        allowed = "code_execution" in who.permissions and ask.code is not None and "subprocess" not in ask.code.flags
        return Decision(allowed)
    return Decision(isinstance(ask, ToolAsk) and ask.tool in {"calculator", "search", "text_processor"})


def best(work: Callable[[], object], count: int) -> float:
    """Return the CPU-ms of one of `count`, in the best of several rounds."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        times.append((time.process_time() - begun) * 1000 / count)
    return min(times)


async def decided(policy: Policy, asks: list[Ask]) -> float:
    """Return the CPU-ms of a decision, each asked once."""
    begun = time.process_time()
    for ask in asks:
        assert (await policy.decide(ask)).allow
    return (time.process_time() - begun) * 1000 / len(asks)


def by_query(asks: list[Ask]) -> float:
    """Return the CPU-ms of a decision by regopy's `query()`."""
    engine = regopy.Interpreter()
    for module in read_bundle(default_bundle()).rules:
        engine.add_module(module.name, module.source)

    def work() -> None:
        for ask in asks:
            engine.set_input(document(ask))
            place = "models" if isinstance(ask, ModelAsk) else "tools"
            json.loads(str(engine.query(f"data.multiagent.{place}.decision")))

    return best(work, len(asks))


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--decisions", type=int, default=2000)
    count = parser.parse_args().decisions
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        open_policy(verdicts=Path(folder))
        vetting = (time.perf_counter() - begun) * 1000
        begun = time.perf_counter()
        policy = open_policy(verdicts=Path(folder))
        opening = (time.perf_counter() - begun) * 1000
        uncached = min([await decided(policy, questions(count * (turn + 1))[-count:]) for turn in range(ROUNDS)])
        known = questions(count)
        cached = min([await decided(policy, known) for _ in range(ROUNDS)])
    plain = best(lambda: [predicate(ask) for ask in known], count)
    queried = by_query(known[:100])
    print(f"decisions: {count}, best of {ROUNDS} rounds; CPU-ms a decision")
    print(
        f"  uncached          {uncached:8.4f}   aim <= {UNCACHED_MS}   {'ok' if uncached <= UNCACHED_MS else 'MISSED'}"
    )
    print(f"  cached            {cached:8.4f}   aim <= {CACHED_MS}  {'ok' if cached <= CACHED_MS else 'MISSED'}")
    print(f"  plain Python      {plain:8.4f}   baseline: the same rules as a predicate")
    print(f"  regopy query()    {queried:8.4f}   baseline: compiled anew each time, {queried / uncached:.1f}x ours")
    print(f"opening: {opening:.0f} ms when vetted before, {vetting:.0f} ms with the first vetting (wall)")


if __name__ == "__main__":
    asyncio.run(main())
