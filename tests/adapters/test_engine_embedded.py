"""The embedded engine keeps what every engine promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.testing.bench import Bench, open_bench
from multiagent.testing.replayed import Register
from multiagent.testing.suites.engine import EngineFacts, EngineFailures, EngineRuns
from multiagent.testing.suites.engine_control import EnginePauses, EngineStates
from multiagent.testing.suites.engine_forks import EngineForks
from multiagent.testing.suites.engine_steering import EngineSteering, EngineTime
from multiagent.testing.suites.engine_versions import EngineVersions


@pytest.fixture
async def bench(tmp_path: Path, register: Register) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, register) as opened:
        yield opened


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
