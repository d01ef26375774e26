"""The log of all tasks' events on PostgreSQL: filled by one at a time, without gaps, in an order that causes keep."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from multiagent.storage.factory import open_sequencer, open_storage
from multiagent.storage.sql.base import LogRow
from multiagent.storage.sql.postgres.pool import connect
from multiagent.storage.sql.postgres.scribe import Connection
from multiagent.storage.sql.postgres.sequencer import Sequencer, fill
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.sql import TENANT, Sql, appends, creates

_CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objid = x'4d554c53'::int"


@pytest.fixture
async def sql(tmp_path: Path, postgres: str) -> AsyncIterator[Sql]:
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage:
        yield Sql(storage.writer, storage.reader)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


async def logged(sql: Sql, count: int) -> tuple[LogRow, ...]:
    async with asyncio.timeout(30):
        while len(rows := await sql.reader.log(TENANT, limit=100_000)) < count:  # noqa: ASYNC110 — another one fills it
            await asyncio.sleep(0)
    return rows


async def one_leads(*sequencers: Sequencer) -> Sequencer:
    async with asyncio.timeout(30):
        while sum(one.leading for one in sequencers) != 1:  # noqa: ASYNC110 — the lock is the database's
            await asyncio.sleep(0)
    return next(one for one in sequencers if one.leading)


async def epoch(connection: Connection) -> int:
    return int(await connection.fetchval("UPDATE log_head SET epoch = epoch + 1 RETURNING epoch"))


def in_order(rows: tuple[LogRow, ...]) -> None:
    """Check that there is no gap, and that each task's events stand in their order."""
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    for task in {row.task for row in rows}:
        seqs = [row.seq for row in rows if row.task == task]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_of_two_one_fills_the_log_and_the_other_takes_over_when_its_session_dies(
    sql: Sql, postgres: str, postgres_server: PostgresServer
) -> None:
    """Again and again, while events come: every event has one place, and no place is empty."""
    await sql.writer.commit(creates(), creates("t2"))
    async with AsyncExitStack() as stack:
        two = [await stack.enter_async_context(open_sequencer(postgres)) for _ in range(2)]
        written = 0
        for _ in range(3):
            leader = await one_leads(*two)
            for _ in range(20):
                written += 1
                await sql.writer.commit(appends(f"w/{written}"), appends(f"w/{written}", "t2"))
            assert postgres_server.sql(_CUT, postgres.rpartition("/")[2]) == "1"
            async with asyncio.timeout(30):
                while leader.leading:  # noqa: ASYNC110 — it is told by its connection
                    await asyncio.sleep(0)
        in_order(await logged(sql, 2 * written))


async def test_one_that_closes_hands_over(sql: Sql, postgres: str) -> None:
    await sql.writer.commit(creates(), appends("w/1"))
    async with open_sequencer(postgres) as stays:
        async with open_sequencer(postgres) as goes:
            await one_leads(stays, goes)
        await one_leads(stays)
        await sql.writer.commit(appends("w/2"))
        in_order(await logged(sql, 2))


async def test_one_that_was_paused_while_another_began_writes_nothing(sql: Sql, postgres: str) -> None:
    """Whatever it believes: its epoch is over."""
    await sql.writer.commit(creates(), appends("w/1"))
    async with connected(postgres) as paused, connected(postgres) as leader:
        old = await epoch(paused)
        new = await epoch(leader)
        assert await fill(paused, old) == -1
        assert await sql.reader.log(TENANT) == ()
        assert await fill(leader, new) == 1
        await sql.writer.commit(appends("w/2"))
        assert await fill(paused, old) == -1
        assert await fill(leader, new) == 1
        in_order(await sql.reader.log(TENANT))


async def test_one_that_is_paused_within_its_transaction_holds_up_the_next_and_no_more(sql: Sql, postgres: str) -> None:
    await sql.writer.commit(creates(), appends("w/1"), appends("w/2"))
    async with connected(postgres) as paused, connected(postgres) as leader:
        old = await epoch(paused)
        within = paused.transaction()
        await within.start()
        assert await fill(paused, old) == 2
        beginning = asyncio.create_task(epoch(leader))
        await sql.writer.commit(appends("w/3"))
        assert not beginning.done()
        await within.commit()
        assert await fill(leader, await beginning) == 1
        assert await fill(paused, old) == -1
        in_order(await sql.reader.log(TENANT))


async def test_what_is_committed_late_comes_later(sql: Sql, postgres: str) -> None:
    """Its transaction began before that of an event that is in the log already."""
    await sql.writer.commit(creates(), creates("t2"))
    async with connected(postgres) as slow, connected(postgres) as leader:
        new = await epoch(leader)
        within = slow.transaction()
        await within.start()
        await slow.execute("INSERT INTO log_pending (tenant_id, task, seq) VALUES ($1, 't1', 1)", TENANT)
        await sql.writer.commit(appends("w/1", "t2"))
        assert await fill(leader, new) == 1
        await within.commit()
        assert await fill(leader, new) == 1
        assert [row.task for row in await sql.reader.log(TENANT)] == ["t2", "t1"]


async def test_a_tasks_events_keep_their_order_whoever_began_first(sql: Sql, postgres: str) -> None:
    """The transaction with the second event had begun to write before that with the first; what was caused by the
    second comes after it.
    """
    await sql.writer.commit(creates(), creates("t2"), creates("t3"))
    pending = "INSERT INTO log_pending (tenant_id, task, seq) VALUES ($1, $2, $3)"
    async with connected(postgres) as second, connected(postgres) as leader:
        new = await epoch(leader)
        within = second.transaction()
        await within.start()
        await second.execute(pending, TENANT, "t3", 1)
        await leader.execute(pending, TENANT, "t1", 1)
        await second.execute(pending, TENANT, "t1", 2)
        await within.commit()
        await leader.execute(pending, TENANT, "t2", 1)
        assert await fill(leader, new) == 4
        placed = [(row.task, row.seq) for row in await sql.reader.log(TENANT)]
        assert placed.index(("t1", 1)) < placed.index(("t1", 2)) < placed.index(("t2", 1))


async def test_causes_come_before_what_they_caused(sql: Sql, postgres: str, tmp_path: Path) -> None:
    """Eight at once on six tasks, through two writers: each event that someone commits after another of his comes after
    that one, while a sequencer fills the log beside them.
    """
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    tasks = [f"t{number}" for number in range(6)]
    await sql.writer.commit(*(creates(task) for task in tasks))
    order: dict[str, list[tuple[str, int]]] = {}
    async with (
        open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as other,
        open_sequencer(postgres),
    ):

        async def someone(name: str) -> None:
            writer = chance.choice((sql.writer, other.writer))
            for number in range(25):
                task = chance.choice(tasks)
                (answer,) = await writer.commit(appends(f"w/{name}/{number}", task))
                order.setdefault(name, []).append((task, answer.header.seq))  # type: ignore[attr-defined]

        await asyncio.gather(*(someone(f"s{number}") for number in range(8)))
        rows = await logged(sql, 200)
    in_order(rows)
    place = {(row.task, row.seq): row.position for row in rows}
    assert all(place[before] < place[after] for told in order.values() for before, after in pairwise(told))
