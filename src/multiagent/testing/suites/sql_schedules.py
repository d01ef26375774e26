"""What every relational storage must do with schedules and with the tasks that are their runs."""

import asyncio

from multiagent.core.schedule import run_key, run_prefix
from multiagent.storage.sql.ops import UpdateTask
from multiagent.storage.sql.schedules import DropSchedule, PutSchedule
from multiagent.testing.suites.sql import NOW, OTHER, TENANT, Sql, creates


def puts(was: int, state: bytes = b"{}", name: str = "s1", tenant: str = TENANT) -> PutSchedule:
    """A schedule to keep."""
    return PutSchedule(tenant=tenant, id=name, definition=b'{"q":"\xc3\xbc"}', state=state, was=was, time=NOW + was)


class ScheduleSuite:
    """Schedules."""

    async def test_a_schedule_is_changed_only_by_who_knows_its_revision(self, sql: Sql) -> None:
        assert await sql.writer.commit(puts(1)) == (False,)
        assert await sql.writer.commit(puts(0)) == (True,)
        assert await sql.writer.commit(puts(0)) == (False,)
        assert await sql.writer.commit(puts(1, b'{"seen":1}')) == (True,)
        assert await sql.writer.commit(puts(1, b'{"seen":2}')) == (False,)
        (row,) = await sql.reader.schedules(TENANT, "s1")
        assert (row.definition, row.state, row.revision) == (b'{"q":"\xc3\xbc"}', b'{"seen":1}', 2)
        assert (row.created, row.updated) == (NOW, NOW + 1)

    async def test_of_changes_at_the_same_time_one_stands(self, sql: Sql) -> None:
        await sql.writer.commit(puts(0))
        answers = await asyncio.gather(*(sql.writer.commit(puts(1, b'{"seen":%d}' % n)) for n in range(8)))
        assert sorted(answers) == [(False,)] * 7 + [(True,)]

    async def test_schedules_are_listed_by_tenant_and_name(self, sql: Sql) -> None:
        await sql.writer.commit(puts(0, name="b"), puts(0, name="a"), puts(0, name="a", tenant=OTHER))
        assert [row.id for row in await sql.reader.schedules(TENANT)] == ["a", "b"]
        assert [row.id for row in await sql.reader.schedules(TENANT, "b")] == ["b"]
        assert {(row.tenant, row.id) for row in await sql.reader.schedules()} == {
            (TENANT, "a"), (TENANT, "b"), (OTHER, "a"),
        }  # fmt: skip

    async def test_a_dropped_schedule_is_gone_and_its_name_is_free(self, sql: Sql) -> None:
        await sql.writer.commit(puts(0), puts(0, tenant=OTHER))
        drop = DropSchedule(tenant=TENANT, id="s1")
        assert await sql.writer.commit(drop, drop) == (True, False)
        assert await sql.reader.schedules(TENANT) == ()
        assert len(await sql.reader.schedules(OTHER)) == 1
        assert await sql.writer.commit(puts(0)) == (True,)

    async def test_tasks_are_found_by_what_their_keys_begin_with_the_last_first(self, sql: Sql) -> None:
        keys = {
            "t1": run_key("s", 1_000),
            "t2": run_key("s", 2_000),
            "t3": run_key("s-2", 1_500),
            "t4": "other",
            "t5": "",
        }
        await sql.writer.commit(*(creates(task, key=key) for task, key in keys.items()))
        await sql.writer.commit(creates("t6", key=run_key("s", 3_000), tenant=OTHER))
        found = await sql.reader.keyed_tasks(TENANT, run_prefix("s"))
        assert [(one.id, one.key, one.status) for one in found] == [
            ("t2", run_key("s", 2_000), "queued"), ("t1", run_key("s", 1_000), "queued"),
        ]  # fmt: skip
        await sql.writer.commit(UpdateTask(tenant=TENANT, id="t2", time=NOW, status="completed"))
        going = await sql.reader.keyed_tasks(TENANT, run_prefix("s"), under_way=True)
        assert [one.id for one in going] == ["t1"]
        assert [one.id for one in await sql.reader.keyed_tasks(TENANT, run_prefix("s"), limit=1)] == ["t2"]
        assert await sql.reader.keyed_tasks(TENANT, run_prefix("s_")) == ()
