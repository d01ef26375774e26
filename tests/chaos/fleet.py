"""Processes that serve on PostgreSQL and Temporal, tasks for them, and what must hold of these at the end."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from multiagent.app.ask import Ask
from multiagent.app.place import Place
from multiagent.app.steer import hand_over
from multiagent.config.sources import load, places
from multiagent.core.task import FINISHED
from multiagent.storage.sql.base import Reader
from multiagent.storage.sql.postgres.pool import connect
from multiagent.testing.scripted_script import Reply, Script
from tests.chaos.house import calls, done_twice, vendor
from tests.e2e.services import Service, Site, site

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
"""What faults lose is always there."""


async def wait(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(max(0.0, seconds))


@dataclass(slots=True)
class Fleet:
    """The processes that serve, one a role; a vendor that takes its time; and the database that they share."""

    where: Site
    url: str
    ledger: Path
    roles: Sequence[str]
    running: list[Service] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    async def start(self) -> None:
        """Start all and wait until each is ready."""
        self.running = [self.where.serve(role) for role in self.roles]
        await self.until_ready()

    async def until_ready(self, status: int = 200) -> None:
        """Wait until the page on readiness of each has this status."""
        for service in self.running:
            await asyncio.get_running_loop().run_in_executor(None, service.until_ready, status)

    def replace(self, number: int) -> None:
        """Kill a process and start another one in its place at once."""
        self.running[number].kill()
        self.running[number] = self.where.serve(self.roles[number])
        self.kills[self.roles[number]] += 1

    @property
    def place(self) -> Place:
        """Where the tasks are."""
        here = places(self.where.environment())
        return Place(here, load(Path(here.home), self.where.environment()))

    async def submit(self, rng: random.Random) -> str:
        """Hand over a task; return its id. Raises what a terminal is refused with."""
        return await hand_over(self.place, Ask(rng.choice(QUERIES)), self.where.environment())

    async def check(self, tasks: Sequence[str], within_s: float) -> None:
        """All tasks end in time and at least 99.9% of them well, no committed step ran again, the bills are true."""
        began = time.monotonic()
        async with self.place.reader() as reader:
            assert reader is not None
            ended = await _finished(reader, tasks, began + within_s)
            found = Counter(ended.values())
            rows = [await reader.task("local", task) for task, status in ended.items() if status != "completed"]
            told = [(row.id, row.status, row.error, row.waits_for) for row in rows if row is not None]
            sys.stdout.write(
                f"{len(tasks)} tasks: {dict(found)} {told}, the last after {time.monotonic() - began:.1f} s\n"
            )
            assert set(found) <= set(FINISHED), "tasks are lost or stuck"
            assert found["completed"] >= 0.999 * len(tasks)
            assert await _repeated(reader, tasks) == []
            assert await reader.commands() == ()
        await _bills(self.url, calls(self.ledger)["tokens"])


@contextmanager
def fleet(folder: Path, cache: Path, url: str, temporal: str, roles: Sequence[str]) -> Iterator[Fleet]:
    """A fleet for a block, with task queues and a vendor of its own."""
    with vendor(folder, Script(default=Reply(kind="planner", latency_s=0.3))) as (vendor_url, ledger):
        settings = {
            "MULTIAGENT_ENGINE": "temporal",
            "MULTIAGENT_STORAGE__URL": url,
            "MULTIAGENT_STORAGE__CONNECTIONS": "6",
            "MULTIAGENT_TEMPORAL__ADDRESS": temporal,
            "MULTIAGENT_TEMPORAL__QUEUES": folder.name,
            "MULTIAGENT_SANDBOX__WORKERS": "1",
            "OPENAI_BASE_URL": vendor_url,
            "OPENAI_API_KEY": "test-key",
            **BUDGETS,
        }
        with site(folder / "home", cache, **settings) as where:
            yield Fleet(where, url, ledger, roles)


async def _finished(reader: Reader, tasks: Sequence[str], until: float) -> dict[str, str]:
    """Wait until every task has ended; return each one's status, also of those that have not."""
    while True:
        rows = {task: await reader.task("local", task) for task in tasks}
        found = {task: row.status if row is not None else "lost" for task, row in rows.items()}
        if set(found.values()) <= set(FINISHED) or time.monotonic() > until:
            return found
        await wait(0.5)


async def _repeated(reader: Reader, tasks: Sequence[str]) -> list[str]:
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
