"""Any mix of commits, queued writes and failing requests, many at once, leaves what doing them one by one leaves."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings

from multiagent.core.errors import StorageUnavailable
from multiagent.storage.factory import DATABASE
from multiagent.storage.sql.ops import EventAppended
from multiagent.storage.sql.sqlite import writer as writing
from multiagent.storage.sql.sqlite.reader import SqliteReader
from multiagent.storage.sql.sqlite.writer import SqliteWriter
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, Sql, appends, creates
from multiagent.testing.suites.sql_order import ROUNDS, Request, check_order


@settings(max_examples=60)
@given(rounds=ROUNDS)
def test_many_at_once_are_as_one_by_one(tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Request]]) -> None:
    asyncio.run(_run(tmp_path_factory.mktemp("home"), rounds))


async def _run(home: Path, rounds: list[list[Request]]) -> None:
    writer = await SqliteWriter.open(home / DATABASE, CountedIds(), "NORMAL")
    reader = SqliteReader(home / DATABASE)
    await check_order(Sql(writer, reader), TENANT, rounds)
    await writer.close()
    row = await reader.task(TENANT, "t1")
    assert row is not None
    assert [one.seq for one in await reader.log(TENANT)] == list(range(1, row.last_seq + 1))
    await reader.close()


async def test_too_much_waiting_is_refused_or_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_WAITING", 50)
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds(), "NORMAL")
    await writer.commit(creates())
    for number in range(49):
        writer.queue(appends(f"w/{number}"))
    writer.queue(appends("w/49"))
    with pytest.raises(StorageUnavailable, match="too many writes"):
        writer.queue(appends("w/50"))
    await asyncio.gather(*(writer.commit(appends(f"a/{n}")) for n in range(200)))
    await writer.close()
    reader = SqliteReader(tmp_path / DATABASE)
    assert len(await reader.events(TENANT, "t1")) == 250
    await reader.close()


async def test_a_commit_whose_caller_has_left_is_committed_all_the_same(tmp_path: Path) -> None:
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds(), "NORMAL")
    await writer.commit(creates())
    leaving = asyncio.ensure_future(writer.commit(appends("a/1")))
    await asyncio.sleep(0)
    leaving.cancel()
    (second,) = await writer.commit(appends("a/2"))
    assert isinstance(second, EventAppended)
    assert second.header.seq == 2
    await writer.close()
