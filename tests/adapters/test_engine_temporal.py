"""The engine on Temporal keeps what every engine promises, on a real server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.core.travel import AtRow, Changes
from multiagent.testing.bench import TENANT, Bench
from multiagent.testing.bench_temporal import TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.suites.engine import EngineFacts, EngineFailures, EngineRuns
from multiagent.testing.suites.engine_control import EnginePauses, EngineStates
from multiagent.testing.suites.engine_forks import EngineForks
from multiagent.testing.suites.engine_steering import EngineSteering, EngineTime
from multiagent.testing.suites.engine_versions import OTHER_INPUT, EngineVersions
from multiagent.testing.workflows import SLEEP, Job

pytestmark = pytest.mark.requirement("T1.suite")


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


class TestForks(EngineForks):
    async def test_timers_have_their_remaining_time_also_after_a_restart(self, bench: Bench) -> None:
        """Nobody moves the server's time, so the times in the journals are compared."""
        parent = await bench.start(SLEEP, 3)
        for name in ("1", "2"):
            await bench.engine.signal(TENANT, parent, "unheard", b"", name)
        cut = (await bench.engine.history(TENANT, parent))[1]
        row = await bench.storage.reader.task(TENANT, parent)
        assert row is not None
        left = row.began + 3000 - cut.time
        await bench.until(lambda: bench.runs_of("between") == 1)
        await bench.engine.fork(TENANT, "fork", parent, AtRow(2), Changes())
        state = (await bench.engine.state(TENANT, "fork", AtRow(3))).state
        assert [timer.left_ms for timer in state.timers] == [left]
        await bench.engine.cancel(TENANT, parent, "")
        await bench.restart()
        await bench.value("fork")
        rows = await bench.engine.history(TENANT, "fork")
        (fired, *_) = (one.time for one in rows if one.kind == "timer")
        assert left <= fired - rows[2].time < left + 20_000


class TestVersions(EngineVersions):
    async def test_a_run_that_drifts_still_stays_where_it_is(self, bench: Bench) -> None:
        """What the journal cannot tell, a worker finds out: then it is quarantined anew."""
        drifted, _, gate = await self._drifted(bench, "chain/1")
        with pytest.raises(Exception, match="something else"):
            await bench.engine.release(TENANT, drifted)
        await bench.restart(OTHER_INPUT)
        await bench.engine.release(TENANT, drifted)
        row = await bench.row_when(drifted, lambda row: row.status == "quarantined")
        assert row.error is not None
        assert "another input" in row.error.message
        assert bench.runs_of("chain/1") == 1
        await bench.restart()
        await bench.engine.release(TENANT, drifted)
        gate.open()
        assert await bench.value(drifted) == Job(3)
