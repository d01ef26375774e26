"""The embedded engine keeps what every engine promises also where its storage is PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from multiagent.storage.factory import Storage, open_sequencer, open_storage
from multiagent.testing.bench import Bench, Gate
from multiagent.testing.replayed import Register
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.engine import EngineFacts, EngineFailures, EngineRuns
from multiagent.testing.suites.engine_control import EnginePauses, EngineStates
from multiagent.testing.suites.engine_forks import EngineForks
from multiagent.testing.suites.engine_steering import EngineSteering, EngineTime
from multiagent.testing.suites.engine_versions import EngineVersions
from multiagent.testing.workflows import CHAIN


class PostgresBench(Bench):
    """A bench whose storage is a database of its own."""

    def __init__(self, home: Path, register: Register, url: str) -> None:
        super().__init__(home, register)
        self._url = url

    @asynccontextmanager
    async def _opened_storage(self) -> AsyncIterator[Storage]:
        async with (
            open_storage(self._home, clock=self.clock, ids=self._ids, url=self._url) as storage,
            open_sequencer(self._url),
        ):
            yield storage


@pytest.fixture
async def bench(tmp_path: Path, register: Register, postgres: str) -> AsyncIterator[Bench]:
    opened = PostgresBench(tmp_path, register, postgres)
    await opened.open()
    yield opened
    await opened.close()


class TestRuns(EngineRuns):
    pass


class TestFailures(EngineFailures):
    pass


class TestTime(EngineTime):
    pass


class TestSteering(EngineSteering):
    pass


class TestFacts(EngineFacts):
    pass


class TestPauses(EnginePauses):
    pass


class TestStates(EngineStates):
    pass


class TestForks(EngineForks):
    pass


class TestVersions(EngineVersions):
    pass


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    server = PostgresServer(durable=True)
    yield server
    server.close()


async def test_an_outage_in_the_middle_ends_no_task_and_repeats_no_step(
    tmp_path: Path, register: Register, own_server: PostgresServer
) -> None:
    """Steps whose code has run when the server goes are stored when it is back, not run again."""
    bench = PostgresBench(tmp_path, register, own_server.empty_database())
    await bench.open()
    bench.code["*"] = gate = Gate()
    tasks = [await bench.start(CHAIN, 3) for _ in range(4)]
    await bench.until(lambda: gate.waiting == len(tasks))
    own_server.kill()
    gate.open()
    ends = asyncio.gather(*map(bench.result, tasks))
    await bench.until(lambda: bench.clock.sleepers > 0)
    own_server.start()
    await bench.drive(asyncio.ensure_future(ends), 1)
    assert [end.status for end in await ends] == ["completed"] * len(tasks)
    assert len(bench.ran) == 3 * len(tasks)
    await bench.close()
