"""Several processes on one database, and many requests of one: as if one did it all, one by one."""

import asyncio
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings

from multiagent.core.messages import Message, Text, message_hash
from multiagent.storage.factory import open_storage
from multiagent.storage.sql.ops import PutUser, StoreMessage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.sql import NOW, TENANT, Sql, appends, creates
from multiagent.testing.suites.sql_order import ROUNDS, Request, check_order

PROCESSES = 4
TASKS = 3
EVENTS = 30

APPENDER = """
import asyncio, sys
from pathlib import Path
from multiagent.app.system import SystemIds
from multiagent.core.messages import Message, Text, message_hash
from multiagent.storage.factory import open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.suites.sql import appends

async def main(home, url, name, events, tasks):
    async with open_storage(Path(home), clock=ManualClock(), ids=SystemIds(), url=url) as storage:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(int(events)):
            for task in range(int(tasks)):
                storage.writer.queue(appends(f"{name}/{number}", f"t{task}"))
            shared = [appends(f"shared/{number}", f"t{task}") for task in range(int(tasks))]
            await asyncio.gather(*map(storage.writer.commit, shared))

asyncio.run(main(*sys.argv[1:]))
"""


def appender(home: Path, url: str, name: str) -> "subprocess.Popen[str]":
    """Start a process that appends events of its own and such as all append."""
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(home), url, name, str(EVENTS), str(TASKS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_events_of_many_processes_are_numbered_without_gaps(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.empty_database()
    children = [appender(tmp_path, url, f"p{number}") for number in range(PROCESSES)]
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=url) as storage:
        await storage.writer.commit(*(creates(f"t{task}") for task in range(TASKS)))
        for child in children:  # all have made, or found, the tables
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            child.communicate(timeout=60)
            assert child.returncode == 0
        names = [f"p{number}/{n}" for number in range(PROCESSES) for n in range(EVENTS)]
        expected = sorted([*names, *(f"shared/{n}" for n in range(EVENTS))])
        for task in range(TASKS):
            events = await storage.reader.events(TENANT, f"t{task}")
            assert [one.header.seq for one in events] == list(range(1, len(expected) + 1))
            assert sorted(one.header.key for one in events) == expected
            own = [one.header.key for one in events if one.header.key.startswith("p1/")]
            assert own == [f"p1/{n}" for n in range(EVENTS)]


@pytest.fixture(scope="module")
def shared_database(postgres_server: PostgresServer) -> str:
    return postgres_server.fresh_database()


_numbers = count()


@settings(max_examples=20)
@given(rounds=ROUNDS)
def test_many_at_once_are_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, shared_database: str, rounds: list[list[Request]]
) -> None:
    asyncio.run(_run(tmp_path_factory.mktemp("home"), shared_database, rounds))


async def _run(home: Path, url: str, rounds: list[list[Request]]) -> None:
    async with open_storage(home, clock=ManualClock(), ids=CountedIds(), url=url) as storage:
        await check_order(Sql(storage.writer, storage.reader), f"tenant-{next(_numbers)}", rounds)


async def test_a_queued_write_about_no_task_is_ahead_of_every_later_commit(tmp_path: Path, postgres: str) -> None:
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage:
        await storage.writer.commit(*(creates(f"t{n}") for n in range(8)))

        async def says(number: int) -> None:
            message = Message("user", (Text(f"message {number}"),))
            storage.writer.queue(appends("w", f"t{number}"))
            storage.writer.queue(StoreMessage(tenant=TENANT, message=message, time=NOW))
            await storage.writer.commit(appends("a", f"t{number}"))
            assert await storage.reader.chain(TENANT, message_hash(message)) == (message,)
            keys = [one.header.key for one in await storage.reader.events(TENANT, f"t{number}")]
            assert keys == ["w", "a"]

        await asyncio.gather(*map(says, range(8)))


async def test_a_commit_about_no_task_finds_what_was_queued_for_any(tmp_path: Path, postgres: str) -> None:
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage:
        await storage.writer.commit(*(creates(f"t{n}") for n in range(8)))
        for number in range(8):
            storage.writer.queue(appends("w", f"t{number}"))
        await storage.writer.commit(PutUser(tenant=TENANT, id="ada", time=NOW))
        assert [row.last_seq for row in await storage.reader.tasks(TENANT)] == [1] * 8
