"""The bill after kill -9: what the vendor billed is never more than what we booked, and that never above the limit."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from multiagent.core.budget import Amount
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.storage.factory import open_reader
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.scripted_script import Reply, Script
from multiagent.testing.suites.llm import TENANT, asks
from multiagent.testing.vendor_stub import RATES, stub_model
from tests.adapters.gate_bench import gate_over
from tests.chaos.gate_worker import SCOPES

ROOT = Path(__file__).parents[2]
BOUND = prompt_bound(asks("question 000"), stub_model().overhead_tokens) + 300
CALLS = 24


@dataclass(slots=True)
class Lab:
    """A vendor that outlives its clients, and the home that they share one after another."""

    home: Path
    vendor: ScriptedVendor
    limit: int
    parallel: int = 4
    in_flight_at_kills: int = 0
    said: list[str] = field(default_factory=list)

    async def start(self, *fault: str) -> Process:
        path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])
        arguments = [str(self.home), self.vendor.url, str(CALLS), str(self.parallel), str(self.limit), *fault]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests/chaos/gate_worker.py"),
            *arguments,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    async def until_idle(self, process: Process) -> None:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            async for line in process.stdout:
                self.said.append(line.decode().strip())
                if self.said[-1] == "idle":
                    return
        raise AssertionError(f"the worker died: {self.said}")

    async def kill(self, process: Process) -> None:
        if process.returncode is None:
            self.in_flight_at_kills += self.vendor.in_flight
            process.kill()
        async with asyncio.timeout(30):
            await process.communicate()
        await self.vendor.until(lambda vendor: vendor.in_flight == 0)

    async def check(self, *, equal: bool = False) -> None:
        """Bill ≤ settled + lost ≤ limit in every scope, in both units."""
        async with gate_over(self.home, []) as bench:
            await bench.gate.recover(TENANT)
        bill = self.vendor.bill
        billed = Amount(bill.tokens, bill.prompt * RATES.prompt + bill.completion * RATES.completion)
        async with open_reader(self.home) as reader:
            assert reader is not None
            for scope in SCOPES:
                state = await reader.scope(TENANT, scope)
                assert state is not None
                assert state.held == Amount()
                assert billed.tokens <= state.used.tokens <= self.limit
                assert billed.pico <= state.used.pico
                if equal:
                    assert state.used == billed


def slow(usage: str = "less") -> Script:
    return Script(default=Reply(usage=usage, latency_s=0.02))  # type: ignore[arg-type] # two of its values


def calls_begun(number: int) -> Callable[[ScriptedVendor], bool]:
    return lambda vendor: vendor.calls >= number and vendor.in_flight > 0


@pytest.mark.requirement("A4.kills")
async def test_after_kills_at_any_moment_the_books_cover_the_vendors_bill(tmp_path: Path) -> None:
    """Six kills: after a reservation, before a settle, and while calls are in flight; then all calls finish.

    A call whose answer was committed is never made again: the vendor saw at most the calls in flight at the kills
    beyond one a question, and none of a committed one.
    """
    async with ScriptedVendor(slow()) as vendor:
        lab = Lab(tmp_path / "home", vendor, limit=(CALLS + 40) * BOUND)
        extra = 0
        for moment in ("gate.after-reserve", "gate.after-answer-before-settle"):
            for nth in (1, 6):
                process = await lab.start(moment, str(nth))
                async with asyncio.timeout(30):
                    await process.wait()
                assert process.returncode == -9
                extra += lab.parallel
                await lab.kill(process)
                await lab.check()
        for number in (vendor.calls + 3, vendor.calls + 8):
            process = await lab.start()
            await vendor.until(calls_begun(number))
            await lab.kill(process)
            await lab.check()
        process = await lab.start()
        await lab.until_idle(process)
        assert lab.said.count("idle") == 1
        assert sorted(line for line in lab.said if line.startswith("answered")) == sorted(
            f"answered {number}" for number in range(CALLS)
        )
        await lab.kill(process)
        await lab.check()
        assert lab.in_flight_at_kills > 0, "the kills hit nothing in flight"
        assert CALLS <= vendor.calls <= CALLS + extra + lab.in_flight_at_kills


@pytest.mark.requirement("A4.kills")
async def test_a_kill_that_hits_nothing_in_flight_leaves_the_books_equal_to_the_bill(tmp_path: Path) -> None:
    """And a second run of the same calls makes none of them again."""
    async with ScriptedVendor(slow()) as vendor:
        lab = Lab(tmp_path / "home", vendor, limit=(CALLS + 8) * BOUND)
        for _ in range(2):
            process = await lab.start()
            await lab.until_idle(process)
            await lab.kill(process)
            await lab.check(equal=True)
        assert vendor.calls == CALLS
        assert lab.in_flight_at_kills == 0


@pytest.mark.requirement("A4.kills")
async def test_a_tight_budget_is_never_overspent_whatever_dies(tmp_path: Path) -> None:
    """A vendor that bills the whole bound, a budget of 10 bounds, 24 calls, two kills: lost holds count in full."""
    async with ScriptedVendor(slow("exact")) as vendor:
        lab = Lab(tmp_path / "home", vendor, limit=10 * BOUND)
        for number in (2, 5):
            process = await lab.start()
            await vendor.until(calls_begun(number))
            await lab.kill(process)
            await lab.check()
        process = await lab.start()
        await lab.until_idle(process)
        await lab.kill(process)
        await lab.check()
        assert any(line.startswith("refused") for line in lab.said)
        assert vendor.bill.tokens <= 10 * BOUND
