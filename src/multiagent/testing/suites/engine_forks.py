"""How every engine forks a run, and lets a quarantined one go."""

import asyncio

import msgspec
import pytest

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.events import EventKind
from multiagent.core.settings import TaskSettings
from multiagent.core.travel import AtRow, Changes, Edit
from multiagent.engines.base import StepInfo
from multiagent.testing.bench import TENANT, Bench, Gate
from multiagent.testing.workflows import ASKS, CHAIN, CHANCES, EMITS, FAN, SETTINGS, SLEEP, TIDIES, Job

NOTHING = Changes()


@pytest.mark.requirement("C2.fork")
class EngineForks:
    """Forks."""

    async def test_at_every_cut_only_later_steps_run_and_the_result_is_the_same(self, bench: Bench) -> None:
        for workflow, value in ((CHAIN, 4), (FAN, 3), (EMITS, 3)):
            parent = await bench.start(workflow, value)
            result = await bench.value(parent)
            rows = await bench.engine.history(TENANT, parent)
            for cut in range(len(rows) + 1):
                bench.ran.clear()
                fork = f"{parent}-fork-{cut}"
                await bench.engine.fork(TENANT, fork, parent, AtRow(cut), NOTHING)
                assert await bench.value(fork) == result
                inherited = {row.key.rpartition("~")[0] for row in rows[:cut] if row.kind == "result"}
                later = {row.key.rpartition("~")[0] for row in rows[cut:] if row.kind == "result"}
                assert {key for key, _ in bench.ran} == later
                stored = await bench.storage.reader.results(TENANT, fork)
                assert {key for key, one in stored.items() if one.inherited} == inherited
                assert (await bench.engine.replay(TENANT, fork)).status == "completed"

    async def test_its_log_starts_with_the_parents_events_up_to_the_cut(self, bench: Bench) -> None:
        parent = await bench.start(EMITS, 3)
        await bench.value(parent)
        before = await bench.events(parent)
        cut = (await bench.engine.history(TENANT, parent))[1].event_seq
        await bench.engine.fork(TENANT, "fork", parent, "emit/1", NOTHING)
        await bench.value("fork")
        after = await bench.events("fork")
        assert [event.header.seq for event in after] == list(range(1, len(after) + 1))
        for old, new in zip(before[:cut], after[:cut], strict=True):
            assert msgspec.structs.replace(new.header, id=old.header.id, task=parent) == old.header
            assert new.payload == old.payload
        assert [event.header.kind for event in after].count(EventKind.TASK_FORKED) == 1
        said = [event.header.key for event in after if event.header.key.startswith("w/")]
        assert said == [f"w/{n}" for n in range(1, 6)]
        assert not {event.header.id for event in before} & {event.header.id for event in after}

    async def test_its_lineage_is_in_its_row_also_for_a_forks_fork(self, bench: Bench) -> None:
        parent = await bench.start(CHAIN, 3)
        await bench.value(parent)
        await bench.engine.fork(TENANT, "child", parent, "chain/1", NOTHING)
        await bench.value("child")
        await bench.engine.fork(TENANT, "grandchild", "child", "chain/2", NOTHING)
        await bench.value("grandchild")
        rows = [await bench.storage.reader.task(TENANT, name) for name in (parent, "child", "grandchild")]
        assert [row and (row.parent_id, row.root_id, row.forked_at) for row in rows] == [
            ("", parent, None), (parent, parent, 2), ("child", parent, 4),
        ]  # fmt: skip
        assert (await bench.engine.replay(TENANT, "grandchild")).status == "completed"

    async def test_a_fork_is_made_once_by_its_id(self, bench: Bench) -> None:
        parent = await bench.start(CHAIN, 2)
        await bench.value(parent)
        await asyncio.gather(*(bench.engine.fork(TENANT, "fork", parent, "chain/0", NOTHING) for _ in range(3)))
        await bench.value("fork")
        await bench.engine.fork(TENANT, "fork", parent, "chain/1", NOTHING)
        assert bench.runs_of("chain/1") == 2
        other = await bench.start(CHAIN, 1)
        with pytest.raises(InvalidInput, match="taken"):
            await bench.engine.fork(TENANT, "fork", other, 0, NOTHING)
        with pytest.raises(InvalidInput, match="taken"):
            await bench.engine.fork(TENANT, other, parent, 0, NOTHING)

    async def test_steps_in_flight_at_the_cut_run_again_and_count_their_attempts_on(self, bench: Bench) -> None:
        gate = bench.code["fan/1"] = Gate()
        parent = await bench.start(FAN, 2)
        await bench.until(lambda: gate.waiting == 1)
        await bench.rows_when(parent, 1)
        await bench.engine.fork(TENANT, "fork", parent, "fan/0", NOTHING)
        await bench.until(lambda: gate.waiting == 2)
        gate.open()
        assert await bench.value("fork") == await bench.value(parent)
        assert [attempt for key, attempt in bench.ran if key == "fan/1"] == [1, 2]
        assert bench.runs_of("fan/0") == 1

    async def test_a_fork_goes_on_after_a_restart(self, bench: Bench) -> None:
        parent = await bench.start(CHAIN, 3)
        await bench.value(parent)
        gate = bench.code["chain/2"] = Gate()
        await bench.engine.fork(TENANT, "fork", parent, "chain/1", NOTHING)
        await bench.until(lambda: gate.waiting == 1)
        assert await bench.restart() == ("fork",)
        gate.open()
        assert await bench.value("fork") == Job(3)
        assert [bench.runs_of(f"chain/{place}") for place in range(3)] == [1, 1, 3]

    async def test_chance_and_names_are_the_forks_own_after_the_cut_and_inherited_before(self, bench: Bench) -> None:
        parent = await bench.start(CHANCES, 4)
        whole = (await bench.value(parent)).text.split()
        seen = set(whole)
        for name in ("one", "two"):
            await bench.engine.fork(TENANT, name, parent, AtRow(1), NOTHING)
            texts = (await bench.value(name)).text.split()
            assert texts[0] == whole[0]
            assert not set(texts[1:]) & seen
            seen |= set(texts)
            assert (await bench.engine.replay(TENANT, name)).status == "completed"

    async def test_settings_change_at_the_cut_only(self, bench: Bench) -> None:
        parent = await bench.start(SETTINGS, 3)
        assert (await bench.value(parent)).text == "5 5 5"
        changes = Changes(TaskSettings(max_agents=2))
        await bench.engine.fork(TENANT, "fork", parent, "settings/1", changes)
        assert (await bench.value("fork")).text == "5 5 2"
        state = (await bench.engine.state(TENANT, "fork", AtRow(3))).state
        assert (state.settings.max_agents, state.cuts) == (2, 1)
        await bench.engine.fork(TENANT, "again", "fork", "settings/1", Changes(TaskSettings(max_agents=1)))
        assert (await bench.value("again")).text == "5 5 1"

    async def test_an_edit_replaces_what_the_cuts_own_step_answered(self, bench: Bench) -> None:
        parent = await bench.start(CHAIN, 3)
        assert await bench.value(parent) == Job(3)
        edit = Edit("chain/1", "/value", b"40")
        await bench.engine.fork(TENANT, "fork", parent, "chain/1", Changes(edit=edit))
        assert await bench.value("fork") == Job(41)
        assert await bench.value(parent) == Job(3)
        assert (await bench.engine.replay(TENANT, "fork")).status == "completed"
        await bench.engine.fork(TENANT, "end", parent, "chain/2", Changes(edit=Edit("chain/2", "/value", b"7")))
        assert await bench.value("end") == Job(7)

    async def test_edits_that_fit_nothing_are_refused_by_name(self, bench: Bench) -> None:
        async def fail(_info: StepInfo, _job: Job) -> Job:
            raise InvalidInput("no")

        parent = await bench.start(CHAIN, 2)
        await bench.value(parent)
        for step, pointer, value, said in (
            ("chain/0", "/nothing", b"1", "'value', 'text'"),
            ("chain/0", "/value/deeper", b"1", "neither an object nor a list"),
            ("chain/0", "value", b"1", "begin with '/'"),
            ("chain/0", "/va~lue", b"1", "'~'"),
            ("chain/0", "/value", b'"text"', "chain/0:/value"),
            ("chain/0", "/value", b"text", "no JSON"),
            ("chain/1", "/value", b"1", "cut's own step"),
        ):
            with pytest.raises(InvalidInput, match=said):
                await bench.engine.fork(TENANT, "fork", parent, "chain/0", Changes(edit=Edit(step, pointer, value)))
        with pytest.raises(InvalidInput, match="nothing to edit"):
            await bench.engine.fork(TENANT, "fork", parent, 0, Changes(edit=Edit("chain/0", "/value", b"1")))
        bench.code["*"] = fail
        failed = await bench.start(CHAIN, 1)
        await bench.result(failed)
        with pytest.raises(InvalidInput, match="failed"):
            await bench.engine.fork(TENANT, "f", failed, "chain/0", Changes(edit=Edit("chain/0", "/value", b"1")))
        assert await bench.storage.reader.task(TENANT, "fork") is None

    async def test_points_parents_and_tenants_that_are_not_there_are_refused(self, bench: Bench) -> None:
        parent = await bench.start(CHAIN, 1)
        await bench.value(parent)
        for point in (99, "chain/9", AtRow(7)):
            with pytest.raises(InvalidInput):
                await bench.engine.fork(TENANT, "fork", parent, point, NOTHING)
        for tenant, name in ((TENANT, "nothing"), ("other", parent)):
            with pytest.raises(NotFound):
                await bench.engine.fork(tenant, "fork", name, 0, NOTHING)
        with pytest.raises(InvalidInput, match="id of its own"):
            await bench.engine.fork(TENANT, "", parent, 0, NOTHING)

    async def test_timers_have_their_remaining_time_also_after_a_restart(self, bench: Bench) -> None:
        parent = await bench.start(SLEEP, 10)
        await bench.until(lambda: bench.clock.sleepers > 0)
        await bench.engine.signal(TENANT, parent, "unheard", b"", "1")
        bench.clock.advance(6)
        await bench.engine.signal(TENANT, parent, "unheard", b"", "2")
        bench.clock.advance(3)
        await bench.engine.fork(TENANT, "fork", parent, AtRow(2), NOTHING)
        state = (await bench.engine.state(TENANT, "fork", AtRow(3))).state
        assert [timer.left_ms for timer in state.timers] == [4_000]
        await bench.engine.cancel(TENANT, parent, "")
        await bench.restart()
        bench.clock.advance(3.5)
        await bench.engine.signal(TENANT, "fork", "unheard", b"", "3")
        assert bench.ran == []
        bench.clock.advance(0.5)
        await bench.until(lambda: bench.runs_of("between") == 1)
        ended = asyncio.create_task(bench.value("fork"))
        await bench.drive(ended, 1)

    async def test_what_was_asked_of_a_person_is_asked_again_and_the_old_answer_does_not_count(
        self, bench: Bench
    ) -> None:
        parent = await bench.start(ASKS)
        await bench.rows_when(parent, 1)
        await bench.engine.fork(TENANT, "fork", parent, "ask/0", NOTHING)
        await bench.until(lambda: bench.runs_of("ask/1") == 1)
        await bench.engine.signal(TENANT, parent, "answer/0", b"yes", "1")
        assert await bench.value(parent) == Job(0, "yes")
        await bench.engine.signal(TENANT, "fork", "answer/0", b"yes", "1")
        await bench.engine.signal(TENANT, "fork", "answer/1", b"no", "2")
        assert await bench.value("fork") == Job(1, "no")

    async def test_a_fork_of_a_running_a_paused_and_a_cancelled_task_runs(self, bench: Bench) -> None:
        gate = bench.code["chain/1"] = Gate()
        parent = await bench.start(CHAIN, 2)
        await bench.until(lambda: gate.waiting == 1)
        await bench.engine.pause(TENANT, parent, "", "p1")
        await bench.engine.fork(TENANT, "fork", parent, AtRow(2), NOTHING)
        await bench.until(lambda: gate.waiting == 2)
        gate.open()
        assert await bench.value("fork") == Job(2)
        await bench.engine.cancel(TENANT, parent, "")
        await bench.result(parent)
        await bench.engine.fork(TENANT, "second", parent, "chain/0", NOTHING)
        assert await bench.value("second") == Job(2)
        tidies = bench.code["work"] = Gate()
        cancelled = await bench.start(TIDIES)
        await bench.until(lambda: tidies.waiting == 1)
        await bench.engine.cancel(TENANT, cancelled, "")
        await bench.result(cancelled)
        await bench.engine.fork(TENANT, "third", cancelled, AtRow(1), NOTHING)
        assert (await bench.result("third")).status == "cancelled"
        assert bench.runs_of("tidy") == 2

    async def test_a_step_knows_which_task_it_was_forked_from(self, bench: Bench) -> None:
        told: list[str] = []

        async def tell(info: StepInfo, job: Job) -> Job:
            told.append(info.forked_from)
            return job

        bench.code["*"] = tell
        parent = await bench.start(CHAIN, 2)
        await bench.value(parent)
        await bench.engine.fork(TENANT, "fork", parent, "chain/0", NOTHING)
        await bench.value("fork")
        assert told == ["", "", parent]

    async def test_a_large_result_is_inherited_and_edited_too(self, bench: Bench) -> None:
        async def long(_info: StepInfo, job: Job) -> Job:
            return Job(job.value + 1, "x" * 300_000)

        bench.code["chain/0"] = long
        parent = await bench.start(CHAIN, 2)
        await bench.value(parent)
        await bench.engine.fork(TENANT, "fork", parent, "chain/0", NOTHING)
        assert await bench.value("fork") == Job(2)
        edit = Edit("chain/0", "/value", b"8")
        await bench.engine.fork(TENANT, "edited", parent, "chain/0", Changes(edit=edit))
        assert await bench.value("edited") == Job(9)
        await bench.restart()
        assert (await bench.engine.replay(TENANT, "edited")).status == "completed"

    async def test_every_event_of_a_fork_has_its_place_in_the_log(self, bench: Bench) -> None:
        parent = await bench.start(CHAIN, 3)
        await bench.value(parent)
        await bench.engine.fork(TENANT, "fork", parent, "chain/1", NOTHING)
        await bench.value("fork")
        count = len(await bench.events("fork"))
        async with asyncio.timeout(20):
            while True:
                logged = [row.seq for row in await bench.storage.reader.log(TENANT) if row.task == "fork"]
                if len(logged) == count:
                    break
                await asyncio.sleep(0)
        assert logged == list(range(1, count + 1))
