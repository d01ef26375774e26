"""What other processes commit on PostgreSQL is heard, and looked for where it may have been missed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from multiagent.app.follow import follow
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.base import Notices
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.sql import NOW, TENANT, appends, creates
from multiagent.testing.suites.sql_budgets import holds, settles

_CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = '{}'"


class Ears:
    """What one process has heard."""

    def __init__(self, notices: Notices) -> None:
        self.events: list[tuple[str, str]] = []
        self.commands = 0
        self.released = 0
        self.stops: list[Callable[[], None]] = [
            notices.on_event(lambda tenant, task: self.events.append((tenant, task))),
            notices.on_command(self._command),
            notices.on_release(self._release),
        ]

    def _command(self) -> None:
        self.commands += 1

    def _release(self) -> None:
        self.released += 1


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not happened():  # noqa: ASYNC110 — it comes from another connection
            await asyncio.sleep(0)


@pytest.fixture
async def pair(tmp_path: Path, postgres: str) -> AsyncIterator[tuple[Storage, Storage]]:
    """Storage of two processes on one database."""
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(
                open_storage(tmp_path / name, clock=ManualClock(), ids=CountedIds(), url=postgres)
            )
            for name in ("one", "two")
        ]
        yield one, two


async def test_events_commands_and_releases_of_another_process_are_heard(pair: tuple[Storage, Storage]) -> None:
    one, two = pair
    assert two.notices is not None
    ears = Ears(two.notices)
    assert (ears.events, ears.commands, ears.released) == ([], 0, 0)
    await one.writer.commit(creates())
    await until(lambda: ears.commands)
    await one.writer.commit(appends("w/1"))
    await until(lambda: (TENANT, "t1") in ears.events)
    waits = msgspec.structs.replace(holds("r2", 50), ticket="a", expires=NOW + 5_000)
    await one.writer.commit(holds("r1", 60), waits)
    await one.writer.commit(settles("r1", 1))
    await until(lambda: ears.released)
    for stop in ears.stops:
        stop()
    heard = len(ears.events)
    await one.writer.commit(appends("w/2"))
    again = Ears(two.notices)
    await one.writer.commit(appends("w/3"))
    await until(lambda: (TENANT, "t1") in again.events)
    assert len(ears.events) == heard


async def test_a_writers_listeners_hear_of_another_processs_release(pair: tuple[Storage, Storage]) -> None:
    one, two = pair
    told: list[int] = []
    two.writer.on_release(lambda: told.append(1))
    await one.writer.commit(holds("r1", 60))
    waits = msgspec.structs.replace(holds("r2", 50), ticket="a", expires=NOW + 5_000)
    await two.writer.commit(waits)
    await one.writer.commit(settles("r1", 1))
    await until(lambda: told)


async def test_where_nobody_waits_a_release_is_not_told_to_others(pair: tuple[Storage, Storage]) -> None:
    """A word to all costs every commit a turn of its own."""
    one, two = pair
    assert two.notices is not None
    ears = Ears(two.notices)
    await one.writer.commit(holds("r1", 60), settles("r1", 1))
    await one.writer.commit(creates(), appends("w/1"))
    await until(lambda: ears.events)
    assert not ears.released


async def test_after_a_lost_connection_everyone_is_told_to_look_and_hears_again(
    pair: tuple[Storage, Storage], postgres: str, postgres_server: PostgresServer
) -> None:
    """Empty texts: anything may have happened."""
    one, two = pair
    assert two.notices is not None
    await one.writer.commit(creates())
    ears = Ears(two.notices)
    database = postgres.rpartition("/")[2]
    assert int(postgres_server.sql(_CUT.format(database), database)) > 0
    await until(lambda: ("", "") in ears.events and ears.commands and ears.released)
    ears.events.clear()
    count = 0
    while (TENANT, "t1") not in ears.events:
        count += 1
        assert count < 1000
        await one.writer.commit(appends(f"w/{count}"))


async def test_who_follows_a_task_is_woken_by_what_another_process_commits(pair: tuple[Storage, Storage]) -> None:
    """Not by and by: each event is there before the next one is made."""
    one, two = pair
    await one.writer.commit(creates())
    events = follow(two.reader, two.writer, TENANT, "t1", 0, two.notices)
    async with asyncio.timeout(30):
        for number in range(1, 21):
            coming = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            await one.writer.commit(appends(f"w/{number}"))
            assert (await coming).header.seq == number
    await events.aclose()  # type: ignore[attr-defined] # a generator
