"""What the engine on Temporal does otherwise than others, by its nature: equal promises, seen in another way."""

import pytest

from multiagent.core.errors import NonDeterminism
from multiagent.core.travel import AtRow, Changes
from multiagent.testing.bench import GUARD, TENANT, Bench
from multiagent.testing.suites.engine_forks import EngineForks
from multiagent.testing.suites.engine_versions import OTHER_INPUT, EngineVersions
from multiagent.testing.workflows import SLEEP, Job


class TemporalForks(EngineForks):
    """Timers are the server's."""

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
        await bench.engine.signal(TENANT, "fork", "unheard", b"", "3")  # so it is under way
        await bench.engine.cancel(TENANT, parent, "")
        await bench.restart()
        await bench.value("fork")
        rows = await bench.engine.history(TENANT, "fork")
        (fired, *_) = (one.time for one in rows if one.kind == "timer")
        assert left <= fired - rows[2].time < left + GUARD * 1000


class TemporalVersions(EngineVersions):
    """What the journal cannot tell is found out by a worker."""

    async def test_a_run_that_drifts_still_stays_where_it_is(self, bench: Bench) -> None:
        """A step that was begun with another input is found when it begins: then the run is quarantined anew."""
        drifted, _, gate = await self._drifted(bench, "chain/1")
        with pytest.raises(NonDeterminism):
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
