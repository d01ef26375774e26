"""What every engine does with runs whose workflow's code has changed under them."""

import pytest

from multiagent.core.errors import InvalidInput, NonDeterminism, NotFound
from multiagent.core.events import EventKind
from multiagent.core.travel import AtRow, Changes
from multiagent.engines.base import Context, Workflow
from multiagent.testing.bench import TENANT, Bench, Gate
from multiagent.testing.workflows import CHAIN, DRILL, DRILL_BEFORE, FAN, WORK, WORKFLOWS, Job


async def _other_keys(ctx: Context, job: Job) -> Job:
    for place in range(job.value):
        await ctx.step(WORK, Job(place), f"other/{place}")
    return job


async def _other_input(ctx: Context, _job: Job) -> Job:
    await ctx.step(WORK, Job(0), "chain/0")
    return await ctx.step(WORK, Job(99), "chain/1")


OTHERS = tuple(workflow for workflow in WORKFLOWS if workflow is not CHAIN)
OTHER_KEYS = (*OTHERS, Workflow("chain", _other_keys, Job, Job))
OTHER_INPUT = (*OTHERS, Workflow("chain", _other_input, Job, Job))
BEFORE = tuple(workflow for workflow in WORKFLOWS if workflow is not DRILL)


class EngineVersions:
    """Patches, quarantine, release."""

    async def test_old_runs_keep_the_old_branch_new_ones_take_the_new_and_both_finish(self, bench: Bench) -> None:
        gate = bench.code["drill/old"] = Gate()
        await bench.restart((*BEFORE, DRILL_BEFORE))
        old = await bench.start(DRILL_BEFORE, 1)
        await bench.until(lambda: gate.waiting == 1)
        assert await bench.restart() == (old,)
        new = await bench.start(DRILL, 1)
        assert await bench.value(new) == Job(3, "new")
        await bench.until(lambda: gate.waiting == 1)
        assert await bench.restart() == (old,)
        gate.open()
        assert await bench.value(old) == Job(3, "old")
        assert (bench.runs_of("drill/new"), bench.runs_of("drill/first")) == (1, 2)
        for task in (old, new):
            assert (await bench.engine.replay(TENANT, task)).status == "completed"
        patches = [row.patches for row in await bench.engine.history(TENANT, new) if row.patches]
        assert [(patch.id, patch.taken) for patch in patches[0]] == [("better", True)]

    async def test_a_fork_of_an_old_run_takes_the_new_branch_where_it_was_not_there_yet(self, bench: Bench) -> None:
        await bench.restart((*BEFORE, DRILL_BEFORE))
        old = await bench.start(DRILL_BEFORE, 1)
        assert (await bench.value(old)).text == "old"
        await bench.restart()
        await bench.engine.fork(TENANT, "early", old, "drill/first", Changes())
        assert (await bench.value("early")).text == "new"
        await bench.engine.fork(TENANT, "late", old, "drill/old", Changes())
        assert (await bench.value("late")).text == "old"
        new = await bench.start(DRILL, 1)
        await bench.value(new)
        await bench.engine.fork(TENANT, "third", new, "drill/first", Changes())
        assert (await bench.value("third")).text == "new"
        for fork in ("early", "late", "third"):
            assert (await bench.engine.replay(TENANT, fork)).status == "completed"

    async def test_a_drifted_run_is_put_away_with_the_step_and_both_hashes_and_others_go_on(self, bench: Bench) -> None:
        drifted, other, gate = await self._drifted(bench, "chain/1")
        row = await bench.storage.reader.task(TENANT, drifted)
        assert row is not None
        assert row.error is not None
        details = row.error.details
        assert (row.status, row.error.code) == ("quarantined", "NON_DETERMINISM")
        assert str(details["step"]).startswith("chain/0~")
        assert len({str(details["recorded"]), str(details["found"])}) == 2
        assert all(len(str(details[name])) == 16 for name in ("recorded", "found"))
        with pytest.raises(InvalidInput, match="ended"):
            await bench.engine.signal(TENANT, drifted, "go", b"", "1")
        gate.open()
        await bench.value(other)

    async def test_a_released_run_goes_on_where_it_stood(self, bench: Bench) -> None:
        drifted, other, gate = await self._drifted(bench, "chain/1")
        assert await bench.restart() == (other,)
        await bench.engine.release(TENANT, drifted)
        gate.open()
        assert await bench.value(drifted) == Job(3)
        await bench.value(other)
        assert bench.runs_of("chain/0") == 1
        kinds = [event.header.kind for event in await bench.events(drifted)]
        assert (kinds.count(EventKind.TASK_QUARANTINED), kinds.count(EventKind.TASK_RELEASED)) == (1, 1)
        row = await bench.storage.reader.task(TENANT, drifted)
        assert row is not None
        assert (row.status, row.error) == ("completed", None)

    async def test_a_run_that_drifts_still_stays_where_it_is(self, bench: Bench) -> None:
        drifted, _, _ = await self._drifted(bench, "chain/1")
        with pytest.raises(NonDeterminism):
            await bench.engine.release(TENANT, drifted)
        await bench.restart(OTHER_INPUT)
        with pytest.raises(NonDeterminism, match="another input"):
            await bench.engine.release(TENANT, drifted)
        row = await bench.storage.reader.task(TENANT, drifted)
        assert row is not None
        assert row.status == "quarantined"
        await bench.restart()
        await bench.engine.release(TENANT, drifted)
        await bench.engine.cancel(TENANT, drifted, "enough")
        assert (await bench.result(drifted)).status == "cancelled"

    async def test_only_quarantined_tasks_are_released(self, bench: Bench) -> None:
        task = await bench.start(CHAIN, 1)
        await bench.value(task)
        with pytest.raises(InvalidInput, match="not quarantined"):
            await bench.engine.release(TENANT, task)
        with pytest.raises(NotFound):
            await bench.engine.release(TENANT, "nothing")

    async def test_a_quarantined_run_is_forked_before_its_drift_only(self, bench: Bench) -> None:
        drifted, _, _ = await self._drifted(bench, "chain/2")
        with pytest.raises(NonDeterminism):
            await bench.engine.fork(TENANT, "late", drifted, "chain/1", Changes())
        bench.engine.exclude("fork", "its parent's code was changed")
        await bench.engine.fork(TENANT, "fork", drifted, AtRow(0), Changes())
        assert (await bench.result("fork")).status == "completed"
        assert bench.runs_of("other/0") == 1

    async def _drifted(self, bench: Bench, at: str) -> tuple[str, str, Gate]:
        """A quarantined run that stood before a step, one that goes on, and the gate of both."""
        gate = bench.code[at] = bench.code["fan/0"] = Gate()
        drifted, other = await bench.start(CHAIN, 3), await bench.start(FAN, 1)
        await bench.until(lambda: gate.waiting == 2)
        bench.engine.exclude(drifted, "its code was changed under it")
        assert await bench.restart(OTHER_KEYS) == (other,)
        return drifted, other, gate
