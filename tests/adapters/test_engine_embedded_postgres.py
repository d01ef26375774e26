"""The embedded engine keeps what every engine promises also where its storage is PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from multiagent.storage.factory import Storage, open_sequencer, open_storage
from multiagent.testing.bench import Bench
from multiagent.testing.replayed import Register
from multiagent.testing.suites.engine import EngineFacts, EngineFailures, EngineRuns
from multiagent.testing.suites.engine_control import EnginePauses, EngineStates
from multiagent.testing.suites.engine_forks import EngineForks
from multiagent.testing.suites.engine_steering import EngineSteering, EngineTime
from multiagent.testing.suites.engine_versions import EngineVersions


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
