"""Forks of the product's own tasks at ten events, on each engine and from each to the other, on one PostgreSQL."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from multiagent.app.build import TENANT
from multiagent.app.forking import ForkAsk, ask_fork
from multiagent.app.leaving import taken
from multiagent.app.look import look, task_events
from multiagent.app.place import Place
from multiagent.app.steer import ended
from multiagent.config.settings import Places
from multiagent.config.sources import load
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.servers.temporal import TemporalServer
from tests.e2e.distributed import ROLES, serve, spread
from tests.e2e.services import DEADLINE_S, Site

QUERY = "What is 12 * 34? And what is 5 + 6?"
ENGINES = ("embedded", "temporal")
CUTS = 10
MODEL_STEPS = ("think", "decompose", "synthesize", "review")


def place_of(site: Site) -> Place:
    return Place(Places(str(site.home), str(site.cache)), load(site.home, site.environment()))


@contextmanager
def on(site: Site, engine: str) -> Iterator[Place]:
    """The site with its tasks done by this engine, for a block: all services in one process, or a process each."""
    site.extra["MULTIAGENT_ENGINE"] = engine
    before = len(site.services)
    serve(site, *(ROLES if engine == "temporal" else ("all",)))
    yield place_of(site)
    for service in site.services[before:]:
        service.ask_to_stop()
    for service in site.services[before:]:
        assert service.ended() == 0


async def results(place: Place, task: str) -> tuple[set[str], set[str]]:
    """The keys of the steps that a task inherited, and of those that it ran."""
    async with place.reader() as reader:
        assert reader is not None
        found = await reader.results(TENANT, task)
    inherited = {key for key, one in found.items() if one.inherited}
    return inherited, set(found) - inherited


async def fork_at(place: Place, parent: str, seq: int) -> tuple[str, int]:
    """Fork a task at an event; return the fork and how many outcomes it has of its parent."""
    task, cut = await ask_fork(place, ForkAsk(parent, str(seq)))
    assert await taken(place, task, DEADLINE_S) == task
    assert await ended(place, task, DEADLINE_S)
    return task, cut


async def check(place: Place, parent: str) -> None:
    """Fork at ten events; each fork has its parent's answer, and only later steps ran and were paid."""
    events = await task_events(place, parent, 0)
    places = sorted({1 + round(n * (len(events) - 2) / (CUTS - 1)) for n in range(CUTS)})
    assert len(places) == CUTS
    forks = await asyncio.gather(*(fork_at(place, parent, seq) for seq in places))
    answer, (_, steps) = await look(place, parent), await results(place, parent)
    async with place.reader() as reader:
        assert reader is not None
        rows = await reader.journal(TENANT, parent)
    for fork, cut in forks:
        past = {row.key.rpartition("~")[0] for row in rows[:cut] if row.kind in ("result", "failed")}
        inherited, ran = await results(place, fork)
        assert (inherited, ran) == (past, steps - past), (fork, cut)
        record = await look(place, fork)
        assert (record.status, record.result and record.result.text) == (
            "completed", answer.result and answer.result.text
        )  # fmt: skip
        assert record.bill.model_calls <= sum(any(name in key for name in MODEL_STEPS) for key in ran)


@pytest.mark.requirement("T5")
@pytest.mark.timeout(300)
def test_forks_at_ten_events_cross_from_each_engine_to_the_other(
    tmp_path: Path, sandbox_cache: Path, postgres_server: PostgresServer, temporal_server: TemporalServer
) -> None:
    """The home, the database and the terminal are the same; only `engine:` is another."""
    parents: list[str] = []
    with spread(tmp_path / f"forks-{os.getpid()}", sandbox_cache, postgres_server, temporal_server) as site:
        for engine in (*ENGINES, ENGINES[0]):
            with on(site, engine) as place:
                done = site.run("run", QUERY, "--json")
                assert done.returncode == 0, done.stderr
                parents.append(json.loads(done.stdout)["task"])
                for parent in parents[-2:]:
                    asyncio.run(check(place, parent))
