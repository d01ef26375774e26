"""Seven processes on PostgreSQL and Temporal, one of them killed every few seconds: every task finishes."""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from multiagent.app.ask import Ask
from multiagent.app.place import Place
from multiagent.app.steer import hand_over
from multiagent.config.sources import load, places
from multiagent.core.task import FINISHED
from multiagent.storage.sql.base import Reader
from multiagent.storage.sql.postgres.pool import connect
from multiagent.testing.scripted_script import Reply, Script
from multiagent.testing.servers.temporal import TemporalServer
from tests.chaos.house import calls, done_twice, vendor
from tests.e2e.services import Service, Site, site

SCALE = float(os.environ.get("CHAOS_SCALE", "0.1"))
"""1 is the whole of it: 300 tasks, three minutes of kills."""
TASKS = max(8, round(300 * SCALE))
KILLING_S = 180 * SCALE
BETWEEN_S = (2.0, 5.0)
AFTER_S = 150.0
"""So long the last task may take after the last kill: a guard against one that is stuck."""
ROLES = ("orchestrator", "orchestrator", "agent", "agent", "agent", "llm", "llm")
QUERIES = (
    "What is 17 * 23 + 4?",
    "What is 12 * 34? And what is 5 + 6?",
    "Compute 2 ** 10, then 3 ** 7, and compare the two.",
    "How many words has this sentence? And what is 81 / 9?",
)
BUDGETS = {
    "MULTIAGENT_BUDGET__REQUEST_USD": "100",
    "MULTIAGENT_BUDGET__TASK_USD": "1000",
    "MULTIAGENT_BUDGET__TASK_TOKENS": "20000000",
    "MULTIAGENT_BUDGET__USER_DAY_USD": "1000000",
}
"""What kills lose is always there."""


@dataclass(slots=True)
class Fleet:
    """The processes that serve; one that is killed is started again at once."""

    where: Site
    running: list[Service] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    def start(self) -> None:
        """Start all and wait until each is ready."""
        self.running = [self.where.serve(role) for role in ROLES]
        for service in self.running:
            service.until_ready()

    async def harass(self, rng: random.Random, until: float) -> None:
        """Kill one after the other."""
        while time.monotonic() < until:
            await _wait(rng.uniform(*BETWEEN_S))
            place = rng.randrange(len(ROLES))
            self.running[place].kill()
            self.running[place] = self.where.serve(ROLES[place])
            self.kills[ROLES[place]] += 1


async def _wait(seconds: float) -> None:
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, seconds)


async def _submit(place: Place, environment: Mapping[str, str], rng: random.Random) -> list[str]:
    """Hand over all tasks, evenly over the time of the kills; return their ids."""
    began, tasks = time.monotonic(), list[str]()
    for number in range(TASKS):
        tasks.append(await hand_over(place, Ask(rng.choice(QUERIES)), environment))
        await _wait(max(0.0, began + (number + 1) * KILLING_S / TASKS - time.monotonic()))
    return tasks


async def _finished(reader: Reader, tasks: list[str], until: float) -> dict[str, str]:
    """Wait until every task has ended; return each one's status, also of those that have not."""
    while True:
        rows = {task: await reader.task("local", task) for task in tasks}
        found = {task: row.status if row is not None else "lost" for task, row in rows.items()}
        if set(found.values()) <= set(FINISHED) or time.monotonic() > until:
            return found
        await _wait(0.5)


async def _repeated(reader: Reader, tasks: list[str]) -> list[str]:
    """The committed steps that ran again."""
    again: list[str] = []
    for task in tasks:
        events = await reader.events("local", task, limit=10_000)
        told = [(one.header.key, str(one.header.kind), msgspec.json.decode(one.payload)) for one in events]
        again += [f"{task}: {step}" for step in done_twice(told)]
        assert [one.header.seq for one in events] == list(range(1, len(events) + 1)), "a gap in a task's events"
    return again


async def _bills(url: str, vendor_tokens: int) -> None:
    """Nothing is held, and what the vendor billed was settled or counts as lost."""
    connection = await connect(url)
    try:
        held = await connection.fetchval("SELECT count(*) FROM reservations WHERE state = 'held'")
        used = await connection.fetchval("SELECT coalesce(sum(prompt + completion), 0) FROM usage")
        lost = await connection.fetchval("SELECT coalesce(sum(need_tokens), 0) FROM reservations WHERE state = 'lost'")
    finally:
        await connection.close()
    sys.stdout.write(f"vendor billed {vendor_tokens} tokens; settled {used}, lost {lost}, held {held}\n")
    assert held == 0, "a reservation is still open"
    assert vendor_tokens <= used + lost


@pytest.mark.requirement("T2")
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("chaos-distributed")
async def test_kills_of_any_process_lose_nothing_stick_nothing_and_repeat_nothing(
    tmp_path: Path, sandbox_cache: Path, postgres: str, temporal_server: TemporalServer
) -> None:
    """0 lost, 0 stuck, no committed step again, at least 99.9% succeed, bill at most what is settled and lost."""
    seed = int(os.environ.get("MULTIAGENT_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    sys.stdout.write(f"seed {seed}\n")
    script = Script(default=Reply(kind="planner", latency_s=0.3))
    with vendor(tmp_path, script) as (url, ledger):
        settings = {
            "MULTIAGENT_ENGINE": "temporal",
            "MULTIAGENT_STORAGE__URL": postgres,
            "MULTIAGENT_STORAGE__CONNECTIONS": "6",
            "MULTIAGENT_TEMPORAL__ADDRESS": temporal_server.address,
            "MULTIAGENT_TEMPORAL__QUEUES": tmp_path.name,
            "MULTIAGENT_SANDBOX__WORKERS": "1",
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": "test-key",
            **BUDGETS,
        }
        with site(tmp_path / "home", sandbox_cache, **settings) as where:
            fleet = Fleet(where)
            await asyncio.get_running_loop().run_in_executor(None, fleet.start)
            environment = where.environment()
            here = places(environment)
            place = Place(here, load(Path(here.home), environment))
            killing = asyncio.ensure_future(fleet.harass(rng, time.monotonic() + KILLING_S))
            began = time.monotonic()
            tasks = await _submit(place, environment, rng)
            await killing
            killed = time.monotonic()
            async with place.reader() as reader:
                assert reader is not None
                found = Counter((ended := await _finished(reader, tasks, killed + AFTER_S)).values())
                rows = [await reader.task("local", task) for task, status in ended.items() if status != "completed"]
                told = [(row.id, row.status, row.error, row.waits_for) for row in rows if row is not None]
                sys.stdout.write(
                    f"{len(tasks)} tasks, {fleet.kills.total()} kills {dict(fleet.kills)} in {killed - began:.0f} s, "
                    f"the last task {time.monotonic() - killed:.1f} s after the last kill; {dict(found)} {told}\n"
                )
                assert set(found) <= set(FINISHED), "tasks are lost or stuck"
                assert found["completed"] >= 0.999 * len(tasks)
                assert await _repeated(reader, tasks) == []
                assert await reader.commands() == ()
            await _bills(postgres, calls(ledger)["tokens"])
