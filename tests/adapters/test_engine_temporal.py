"""The engine on Temporal keeps what every engine promises, on a real server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.testing.bench_temporal import TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.suites.engine import EngineFacts, EngineFailures, EngineRuns
from multiagent.testing.suites.engine_control import EnginePauses, EngineStates
from multiagent.testing.suites.engine_steering import EngineSteering, EngineTime
from multiagent.testing.suites.engine_temporal import TemporalForks, TemporalVersions

pytestmark = pytest.mark.requirement("T1.suite", "S.reliability.temporal")


@pytest.fixture
async def bench(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[TemporalBench]:
    async with open_temporal_bench(tmp_path, register, temporal_server) as opened:
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


class TestForks(TemporalForks):
    pass


class TestVersions(TemporalVersions):
    pass
