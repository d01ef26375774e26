"""What every relational storage must do for time travel: forks copy a past, quarantined tasks are let go."""

import asyncio

import pytest

from multiagent.core.errors import NotFound, StorageError
from multiagent.core.outcome import Outcome
from multiagent.storage.sql.ops import AppendOutcome, EventAppended, StepStarted, StoredResult, UpdateTask
from multiagent.storage.sql.travel import ForkTask, ReleaseTask, TaskForked
from multiagent.testing.suites.sql import (
    FAILURE,
    NOW,
    OTHER,
    TENANT,
    Sql,
    appends,
    creates,
    feeds,
    starts,
    stores,
)


def forks(cut: int, seq: int, name: str = "f1", **more: object) -> ForkTask:
    """Return a fork of task t1."""
    op = ForkTask(tenant=TENANT, id=name, parent="t1", cut=cut, seq=seq, time=NOW + 60, owner="o1")
    return ForkTask(**{**{field: getattr(op, field) for field in op.__struct_fields__}, **more})


async def past(sql: Sql) -> None:
    """Give task t1 two steps' ends, four events, and a third step that has begun twice."""
    await sql.writer.commit(
        creates(), starts("s1", hashed="h"), appends("s1/1/step.started/1"), starts("s2", hashed="h"),
        appends("s2/1/step.started/1"), stores(b"[1]", "s1", hashed="h"), appends("s1/1/step.completed/2"),
        feeds(1, "s1~00000000"), starts("s3", hashed="h"), appends("s3/1/step.started/1"),
        appends("s3/2/step.started/1"),
        stores(b"", "s2", hashed="h", error=FAILURE), appends("s2/1/step.failed/2"), feeds(2, "s2~00000000"),
        appends("w/1"),
    )  # fmt: skip


class TravelSuite:
    """Forks and releases."""

    async def test_a_fork_has_the_rows_before_its_cut_and_the_results_up_to_it(self, sql: Sql) -> None:
        await past(sql)
        assert (await sql.writer.commit(forks(2, 6)))[0] == TaskForked(created=True, results=2, events=6)
        journal = await sql.reader.journal(TENANT, "t1")
        assert await sql.reader.journal(TENANT, "f1") == journal[:1]
        results = await sql.reader.results(TENANT, "f1")
        assert results == {
            "s1": StoredResult("s1", "h", b"[1]", inherited=True),
            "s2": StoredResult("s2", "h", error=FAILURE, inherited=True),
        }
        row = await sql.reader.task(TENANT, "f1")
        assert row is not None
        assert (row.status, row.parent_id, row.root_id, row.forked_at) == ("running", "t1", "t1", 2)
        assert (row.began, row.named, row.created, row.last_seq) == (NOW, "t1", NOW + 60, 6)
        own = AppendOutcome(tenant=TENANT, task="f1", outcome=Outcome(2, "settings", "fork/f1", NOW, b"{}"))
        await sql.writer.commit(own)
        assert [one.n for one in await sql.reader.journal(TENANT, "f1")] == [1, 2]

    async def test_its_events_are_the_parents_under_ids_of_their_own(self, sql: Sql) -> None:
        await past(sql)
        await sql.writer.commit(forks(2, 6), forks(2, 6, "f2"))
        parent = await sql.reader.events(TENANT, "t1")
        copies = await sql.reader.events(TENANT, "f1")
        assert [(one.header.seq, one.header.key, one.header.commitment, one.payload) for one in copies] == [
            (one.header.seq, one.header.key, one.header.commitment, one.payload) for one in parent[:6]
        ]
        ids = [one.header.id for task in ("t1", "f1", "f2") for one in await sql.reader.events(TENANT, task)]
        assert len(set(ids)) == len(ids) == 7 + 6 + 6
        assert all(len(name) == 26 for name in ids)
        (answer,) = await sql.writer.commit(appends("w/1", "f1"))
        assert isinstance(answer, EventAppended)
        assert (answer.created, answer.header.seq) == (True, 7)
        (answer,) = await sql.writer.commit(appends("s1/1/step.started/1", "f1"))
        assert isinstance(answer, EventAppended)
        assert (answer.created, answer.header.seq) == (False, 1)

    async def test_its_events_have_their_places_in_the_log_of_all_tasks(self, sql: Sql) -> None:
        await past(sql)
        await sql.writer.commit(forks(2, 6))
        await sql.writer.commit(appends("w/1", "f1"), UpdateTask(tenant=TENANT, id="f1", time=NOW, status="completed"))
        async with asyncio.timeout(20):
            while True:
                logged = [row.seq for row in await sql.reader.log(TENANT) if row.task == "f1"]
                if len(logged) == 7:
                    break
                await asyncio.sleep(0)
        assert logged == list(range(1, 8))

    async def test_a_step_in_flight_counts_its_attempts_on(self, sql: Sql) -> None:
        await past(sql)
        await sql.writer.commit(forks(2, 6, pending=("s3", "s4")))
        again = starts("s3", hashed="h")
        again = type(again)(**{**{name: getattr(again, name) for name in again.__struct_fields__}, "task": "f1"})
        assert await sql.writer.commit(again) == (StepStarted(3, 0),)

    async def test_an_edited_result_stands_in_its_place(self, sql: Sql) -> None:
        await past(sql)
        await sql.writer.commit(forks(2, 6, edited=StoredResult("s2", "h", b"[7]")))
        assert await sql.reader.result(TENANT, "f1", "s2") == StoredResult("s2", "h", b"[7]", inherited=True)
        assert await sql.reader.result(TENANT, "t1", "s2") == StoredResult("s2", "h", error=FAILURE)
        with pytest.raises(NotFound):
            await sql.writer.commit(forks(2, 6, "f2", edited=StoredResult("s9", "h", b"[7]")))
        assert await sql.reader.task(TENANT, "f2") is None

    async def test_at_the_beginning_only_an_input_is_shared(self, sql: Sql) -> None:
        await past(sql)
        answer = (await sql.writer.commit(forks(0, 0, input=b"other")))[0]
        assert answer == TaskForked(created=True, results=0, events=0)
        row = await sql.reader.task(TENANT, "f1")
        assert row is not None
        assert (row.input, row.began, row.named, row.forked_at) == (b"other", NOW + 60, "f1", 0)

    async def test_a_forks_fork_has_its_roots_beginning(self, sql: Sql) -> None:
        await past(sql)
        own = Outcome(2, "settings", "fork/f1", NOW, b"{}")
        await sql.writer.commit(forks(2, 6), AppendOutcome(tenant=TENANT, task="f1", outcome=own))
        await sql.writer.commit(forks(1, 3, "f2", parent="f1"))
        row = await sql.reader.task(TENANT, "f2")
        assert row is not None
        assert (row.parent_id, row.root_id, row.began, row.named) == ("f1", "t1", NOW, "t1")

    async def test_a_taken_id_writes_nothing_and_an_unknown_parent_is_not_found(self, sql: Sql) -> None:
        await past(sql)
        await sql.writer.commit(forks(1, 3))
        assert (await sql.writer.commit(forks(2, 6)))[0] == TaskForked(created=False)
        assert len(await sql.reader.results(TENANT, "f1")) == 1
        for more in ({"parent": "t9"}, {"tenant": OTHER}):
            with pytest.raises(NotFound):
                await sql.writer.commit(forks(1, 3, "f2", **more))

    async def test_a_past_whose_result_is_gone_is_not_forked(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), feeds(1, "lost~00000000"))
        with pytest.raises(StorageError, match="not all results"):
            await sql.writer.commit(forks(1, 0))
        assert await sql.reader.task(TENANT, "f1") is None
        assert await sql.reader.journal(TENANT, "f1") == ()

    async def test_a_fork_is_undone_with_its_transaction(self, sql: Sql) -> None:
        await past(sql)
        bad, good = await asyncio.gather(
            sql.writer.commit(forks(2, 6), appends("w/1", "nothing")),
            sql.writer.commit(appends("w/2")),
            return_exceptions=True,
        )
        assert isinstance(bad, NotFound)
        assert isinstance(good, tuple)
        assert await sql.reader.task(TENANT, "f1") is None
        await sql.writer.commit(UpdateTask(tenant=TENANT, id="t1", time=NOW, status="completed"))
        assert all(row.task == "t1" for row in await sql.reader.log(TENANT))

    async def test_a_quarantined_task_is_let_go_once(self, sql: Sql) -> None:
        await past(sql)
        release = ReleaseTask(tenant=TENANT, id="t1", time=NOW)
        assert await sql.writer.commit(release) == (False,)
        await sql.writer.commit(UpdateTask(tenant=TENANT, id="t1", time=NOW, status="quarantined", error=FAILURE))
        assert await sql.writer.commit(release) == (True,)
        row = await sql.reader.task(TENANT, "t1")
        assert row is not None
        assert (row.status, row.error) == ("running", None)
        assert [one.id for one in await sql.reader.unfinished()] == ["t1"]
