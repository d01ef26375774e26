"""Budgets that several processes share on PostgreSQL: nothing is overspent, whoever asks at once and whoever dies."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from multiagent.core.budget import Amount
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.ops import LoseOpen
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.scripted import ScriptedVendor
from multiagent.testing.scripted_script import Reply, Script
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.llm import TENANT, asks
from multiagent.testing.vendor_stub import RATES, stub_model
from tests.chaos.gate_worker import SCOPES

ROOT = Path(__file__).parents[2]
BOUND = prompt_bound(asks("question 000"), stub_model().overhead_tokens) + 300
FAULTS = ("gate.after-reserve", "gate.after-answer-before-settle")


@dataclass(slots=True)
class Worker:
    """One process of several: what it said, and how to start it again."""

    number: int
    count: int
    said: list[str] = field(default_factory=list)
    process: Process | None = None

    async def start(self, lab: "Lab", *fault: str, **environment: str) -> None:
        path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])
        arguments = [str(lab.home / str(self.number)), lab.vendor.url, str(self.count), str(lab.parallel)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests/chaos/gate_worker.py"),
            *arguments,
            str(lab.limit),
            *fault,
            stdin=PIPE,
            stdout=PIPE,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "GATE_DATABASE": lab.url,
                "GATE_FIRST": str(self.number * self.count),
                **environment,
            },
        )

    async def until(self, said: str) -> None:
        """Read what it says until it says this; AssertionError where it ends before."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            async for line in self.process.stdout:
                self.said.append(line.decode().strip())
                if self.said[-1] == said:
                    return
        raise AssertionError(f"worker {self.number} died: {self.said}")

    def go(self) -> None:
        """Let one that is ready begin."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        async with asyncio.timeout(30):
            out, _ = await self.process.communicate()
        self.said += out.decode().split("\n")


@dataclass(slots=True)
class Lab:
    """A vendor that outlives its clients, and the database that they share."""

    home: Path
    url: str
    vendor: ScriptedVendor
    limit: int
    parallel: int = 4

    async def check(self, storage: Storage) -> None:
        """Bill ≤ settled + lost + held ≤ limit in every scope, whoever lives or is dead."""
        billed = self.billed()
        for scope in SCOPES:
            state = await storage.reader.scope(TENANT, scope)
            assert state is not None
            assert billed.tokens <= state.used.tokens + state.held.tokens <= self.limit
            assert billed.pico <= state.used.pico + state.held.pico

    def billed(self) -> Amount:
        bill = self.vendor.bill
        return Amount(bill.tokens, bill.prompt * RATES.prompt + bill.completion * RATES.completion)

    async def lose_all(self, storage: Storage) -> None:
        """Lose what the dead hold: nothing may be left held."""
        await storage.writer.commit(LoseOpen(tenant=TENANT))
        for scope in SCOPES:
            state = await storage.reader.scope(TENANT, scope)
            assert state is not None
            assert state.held == Amount()


def replies(usage: str, latency_s: float) -> Script:
    return Script(default=Reply(usage=usage, latency_s=latency_s))  # type: ignore[arg-type] # two of its values


@pytest.mark.requirement("T7.exact")
async def test_of_64_calls_of_two_processes_at_once_a_budget_of_10_bounds_lets_10_succeed(
    tmp_path: Path, postgres: str
) -> None:
    """They are the first calls of a user nobody knows: none of the scopes has a row. No hold is left."""
    async with (
        ScriptedVendor(replies("exact", 0.05)) as vendor,
        open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage,
    ):
        lab = Lab(tmp_path, postgres, vendor, limit=10 * BOUND, parallel=32)
        workers = [Worker(number, 32) for number in range(2)]
        for worker in workers:
            await worker.start(lab, GATE_TOGETHER="1")
        await asyncio.gather(*(worker.until("ready") for worker in workers))
        assert await storage.reader.scope(TENANT, SCOPES[1]) is None
        for worker in workers:
            worker.go()
        await asyncio.gather(*(worker.until("idle") for worker in workers))
        said = [line.split()[0] for worker in workers for line in worker.said]
        assert (said.count("answered"), said.count("refused")) == (10, 54)
        assert vendor.calls == 10
        for scope in SCOPES:
            state = await storage.reader.scope(TENANT, scope)
            assert state is not None
            assert (state.used.tokens, state.held) == (10 * BOUND, Amount())
        for worker in workers:
            await worker.kill()


@pytest.mark.requirement("T7.kills")
@pytest.mark.parametrize(("usage", "bounds"), [("exact", 12), ("less", 200)])
async def test_after_random_kills_of_processes_the_books_cover_the_vendors_bill(
    tmp_path: Path, postgres: str, usage: str, bounds: int
) -> None:
    """Three processes on one budget, a tight one and a wide one, killed at random while they reserve, wait, call and
    settle. At every moment, and at the end, the vendor's bill ≤ settled + lost (+ held) ≤ limit.
    """
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    async with (
        ScriptedVendor(replies(usage, 0.02)) as vendor,
        open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage,
    ):
        lab = Lab(tmp_path, postgres, vendor, limit=bounds * BOUND)
        workers = [Worker(number, 20) for number in range(3)]
        for worker in workers:
            await worker.start(lab)
        for _ in range(6):
            goal = vendor.calls + chance.randint(1, 4)
            with suppress(TimeoutError):  # a tight budget may be used up
                async with asyncio.timeout(3):
                    await vendor.until(lambda vendor, goal=goal: vendor.calls >= goal)  # type: ignore[misc]
            if vendor.calls:
                await lab.check(storage)
            victim = chance.choice(workers)
            await victim.kill()
            fault = (chance.choice(FAULTS), str(chance.randint(1, 5))) if chance.random() < 0.5 else ()
            await victim.start(lab, *fault)
        for worker in workers:
            await worker.kill()
        await vendor.until(lambda vendor: vendor.in_flight == 0)
        await lab.check(storage)
        for worker in workers:
            await worker.start(lab)
        await asyncio.gather(*(worker.until("idle") for worker in workers))
        await lab.check(storage)
        for worker in workers:
            await worker.kill()
        await lab.lose_all(storage)
        await lab.check(storage)
        said = {line for worker in workers for line in worker.said}
        if usage == "less":
            assert {f"answered {number}" for number in range(60)} <= said
        else:
            assert any(line.startswith("refused") for line in said)
        assert vendor.calls


MIXES = 10_000
_WRONG = """WITH due AS (SELECT s.kind, s.id, s.window_start,
 sum(CASE r.state WHEN 'held' THEN r.need_tokens ELSE 0 END) AS held,
 sum(CASE r.state WHEN 'settled' THEN r.billed_tokens WHEN 'lost' THEN r.need_tokens ELSE 0 END) AS used
 FROM reservations r JOIN reservation_scopes s ON s.reservation = r.id GROUP BY 1, 2, 3)
 SELECT b.kind, b.id, b.held_tokens, d.held, b.used_tokens, d.used
 FROM budget_scopes b LEFT JOIN due d USING (kind, id, window_start)
 WHERE b.held_tokens <> coalesce(d.held, 0) OR b.used_tokens <> coalesce(d.used, 0)
 OR b.held_tokens + b.used_tokens > b.limit_tokens"""


@pytest.mark.timeout(300)
@pytest.mark.requirement("T7.mixes")
async def test_ten_thousand_random_mixes_of_two_processes_never_deadlock_and_leak_nothing(
    tmp_path: Path, postgres: str, postgres_server: PostgresServer
) -> None:
    """Reservations, settles, losses and places in lines, one to four of them a transaction, in random scopes: what
    every scope has used and held is what its reservations say, and no two transactions ever waited for each other.
    """
    seed = random.randrange(2**31)
    print("seeds", seed, seed + 1)
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage:
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "tests/chaos/budget_worker.py"),
                *(postgres, str(seed + number), str(MIXES // 2), "6"),
                stdout=PIPE,
            )
            for number in range(2)
        ]
        async with asyncio.timeout(280):
            said = [await worker.communicate() for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0]
        counts = sum((Counter(msgspec.json.decode(out, type=dict[str, int])) for out, _ in said), Counter[str]())
        print(dict(counts))
        assert all(counts[what] > 50 for what in ("Granted", "Wait", "Settle", "Lose", "LoseOpen", "LeaveLine")), counts
        database = postgres.rpartition("/")[2]
        assert postgres_server.sql(_WRONG, database) == ""
        assert postgres_server.sql(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'") == "0"
        await storage.writer.commit(LoseOpen(tenant=TENANT))
        assert postgres_server.sql(_WRONG, database) == ""
        assert postgres_server.sql("SELECT sum(held_tokens) + sum(held_pico) FROM budget_scopes", database) == "0"
