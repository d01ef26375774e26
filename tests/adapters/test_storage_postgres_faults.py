"""What storage on PostgreSQL does when the server goes, stands still, has no connection left, or answers no more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from multiagent.core.errors import ConfigInvalid, StorageError, StorageNewer, StorageUnavailable
from multiagent.core.outcome import Outcome
from multiagent.storage.factory import Storage, open_reader, open_storage
from multiagent.storage.sql.ops import (
    AddSessionTokens,
    AppendOutcome,
    EventAppended,
    PutSession,
    PutUser,
    TaskCreated,
)
from multiagent.storage.sql.postgres import writer as writing
from multiagent.storage.sql.postgres.pool import Pool
from multiagent.storage.sql.postgres.writer import PostgresWriter
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.servers.postgres import PostgresServer
from multiagent.testing.suites.sql import NOW, TENANT, appends, bills, creates

GUARD = 60.0


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that a test may stop: nobody else uses it, and what it has committed outlives its kill."""
    server = PostgresServer(durable=True)
    yield server
    server.close()


@asynccontextmanager
async def opened(home: Path, url: str) -> AsyncIterator[Storage]:
    async with open_storage(home, clock=ManualClock(), ids=CountedIds(), url=url) as storage:
        yield storage


async def when_back(work: Callable[[], Awaitable[tuple[object, ...]]]) -> tuple[object, ...]:
    """Do what an engine does: try again what is unavailable, until it is not."""
    async with asyncio.timeout(GUARD):
        while True:
            try:
                return await work()
            except StorageUnavailable:
                continue


async def test_a_server_that_is_killed_and_started_again_is_found_again(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    async with opened(tmp_path, own_server.empty_database()) as storage:
        await storage.writer.commit(creates(), appends("a/1"))
        own_server.kill()
        with pytest.raises(StorageUnavailable, match="cannot be reached") as refused:
            await storage.writer.commit(appends("a/2"))
        assert refused.value.retryable
        with pytest.raises(StorageUnavailable):
            await storage.reader.task(TENANT, "t1")
        own_server.start()
        await when_back(lambda: storage.writer.commit(appends("a/2")))
        assert [one.header.key for one in await storage.reader.events(TENANT, "t1")] == ["a/1", "a/2"]


async def test_writes_queued_while_the_server_is_away_are_ahead_of_what_is_committed_later(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    heard: list[str] = []
    async with opened(tmp_path, own_server.empty_database()) as storage:
        storage.writer.on_commit(lambda headers: heard.extend(one.key for one in headers))
        await storage.writer.commit(creates(), creates("t2"))
        own_server.kill()
        storage.writer.queue(appends("w/1"))
        storage.writer.queue(appends("w/2"))
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await storage.writer.commit(appends("a/1"))
        own_server.start()
        (last,) = await when_back(lambda: storage.writer.commit(appends("a/1")))
        assert isinstance(last, EventAppended)
        assert last.header.seq == 3
    assert heard == ["w/1", "w/2", "a/1"]


async def test_what_could_not_be_committed_to_the_last_is_told_at_the_close(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    pool = Pool(own_server.fresh_database(), 2)
    writer = PostgresWriter(pool, CountedIds())
    await writer.commit(creates())
    own_server.kill()
    writer.queue(appends("w/1"))
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await writer.close()
    await pool.close()


async def test_a_server_that_is_away_at_the_start_is_unavailable(tmp_path: Path, own_server: PostgresServer) -> None:
    url = own_server.empty_database()
    own_server.stop()
    with pytest.raises(StorageUnavailable, match="try again once it is up"):
        async with opened(tmp_path, url):
            pass


async def test_an_exhausted_pool_is_unavailable_and_says_what_to_do(postgres: str) -> None:
    pool = Pool(postgres, 1, acquire_s=0.01)
    async with pool.connection():
        with pytest.raises(StorageUnavailable, match=r"pool exhausted.*set storage.connections higher"):
            async with pool.connection():
                pass
    async with pool.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await pool.close()


async def test_more_work_than_connections_waits_for_its_turn(tmp_path: Path, postgres: str) -> None:
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres, connections=2) as storage:
        await storage.writer.commit(*(creates(f"t{n}") for n in range(50)))
        await asyncio.gather(*(storage.writer.commit(appends("a", f"t{n}")) for n in range(50)))
        rows = await asyncio.gather(*(storage.reader.task(TENANT, f"t{n}") for n in range(50)))
        assert [row.last_seq for row in rows if row is not None] == [1] * 50


class Cutting:
    """A way to the server that goes when something is said, just before or just after the server has done it."""

    def __init__(self, url: str, said: bytes, *, delivers: bool) -> None:
        self._parts = urlsplit(url)
        self._said = said
        self._delivers = delivers
        self._served: set[asyncio.Task[None]] = set()
        self.armed = False
        self.stays_down = False
        self.down = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._accept, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        async with server:
            yield urlunsplit(self._parts._replace(netloc=f"postgres@127.0.0.1:{port}"))
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._parts.port)
        back = asyncio.ensure_future(self._copy(theirs, writer))
        self._served.add(back)
        try:
            while data := await reader.read(1 << 16):
                if self.down or (self.armed and self._said in data):
                    back.cancel()
                    await asyncio.wait([back])
                    if self._delivers and not self.down:
                        ours.write(data)
                        await theirs.read(1)  # it has answered
                    self.armed, self.down = False, self.stays_down
                    break
                ours.write(data)
        finally:
            ours.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()


PERSON = PutUser(tenant=TENANT, id="ada", time=NOW)


@pytest.mark.parametrize("delivers", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("said", "more"), [(b"COMMIT", [PERSON]), (b"said when it is stored", [])], ids=["a transaction", "a call"]
)
async def test_a_commit_whose_answer_is_lost_takes_effect_once(
    tmp_path: Path, postgres: str, said: bytes, more: list[PutUser], delivers: bool
) -> None:
    way = Cutting(postgres, said, delivers=delivers)
    heard: list[str] = []
    async with way.open() as url, opened(tmp_path, url) as storage:
        storage.writer.on_commit(lambda headers: heard.extend(one.key for one in headers))
        await storage.writer.commit(creates())
        way.armed = True
        outcome = AppendOutcome(tenant=TENANT, task="t1", outcome=Outcome(1, "signal", "s", NOW))
        event = appends("a/1", payload=b"said when it is stored")
        appended, *_ = await storage.writer.commit(event, outcome, *more)
        assert isinstance(appended, EventAppended)
        assert appended.created
        assert not way.armed
        assert [one.header.id for one in await storage.reader.events(TENANT, "t1")] == [appended.header.id]
        assert [row.n for row in await storage.reader.journal(TENANT, "t1")] == [1]
    assert heard == ["a/1"]


@pytest.mark.parametrize("delivers", [True, False], ids=["after", "before"])
async def test_a_call_is_added_to_its_session_once_whenever_the_answer_is_lost(
    tmp_path: Path, postgres: str, delivers: bool
) -> None:
    way = Cutting(postgres, b"COMMIT", delivers=delivers)
    async with way.open() as url, opened(tmp_path, url) as storage:
        await storage.writer.commit(creates(), PutSession(tenant=TENANT, id="s1", user="ada", time=NOW))
        way.armed = True
        await storage.writer.commit(bills("u1"), AddSessionTokens(tenant=TENANT, id="s1", tokens=30, time=NOW))
        assert not way.armed
        session = await storage.reader.session(TENANT, "s1")
        assert session is not None
        assert session.tokens_used == 30


async def test_a_task_is_told_to_be_new_by_who_made_it(tmp_path: Path, postgres: str) -> None:
    way = Cutting(postgres, b"COMMIT", delivers=True)
    async with way.open() as url, opened(tmp_path, url) as storage:
        way.armed = True
        assert await storage.writer.commit(creates(key="k")) == (TaskCreated("t1", created=True),)
        assert not way.armed


@pytest.mark.parametrize(
    ("said", "more"), [(b"COMMIT", [PERSON]), (b"said when it is stored", [])], ids=["a transaction", "a call"]
)
async def test_what_stays_in_doubt_may_be_brought_again(
    tmp_path: Path, postgres: str, said: bytes, more: list[PutUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way is cut for good: whether it took effect is not found out in time."""
    monkeypatch.setattr(writing, "DOUBT_S", 0.0)
    way = Cutting(postgres, said, delivers=True)
    outcome = AppendOutcome(tenant=TENANT, task="t1", outcome=Outcome(1, "signal", "s", NOW))
    operations = (appends("a/1", payload=b"said when it is stored"), outcome, *more)
    async with way.open() as url, opened(tmp_path, url) as storage:
        await storage.writer.commit(creates())
        way.armed = way.stays_down = True
        with pytest.raises(StorageUnavailable):
            await storage.writer.commit(*operations)
        assert way.down
        way.down = way.stays_down = False
        storage.writer.queue(appends("w/1"))
        appended, *_ = await when_back(lambda: storage.writer.commit(*operations))
        assert isinstance(appended, EventAppended)
        assert not appended.created
        assert [one.header.key for one in await storage.reader.events(TENANT, "t1")] == ["a/1", "w/1"]
        assert [row.n for row in await storage.reader.journal(TENANT, "t1")] == [1]
        with pytest.raises(StorageError, match="does not follow"):
            await storage.writer.commit(outcome)


async def test_a_queued_write_that_can_never_be_committed_ends_the_writer(tmp_path: Path, postgres: str) -> None:
    pool = Pool(postgres, 2)
    writer = PostgresWriter(pool, CountedIds())
    await writer.commit(creates())
    writer.queue(AppendOutcome(tenant=TENANT, task="t1", outcome=Outcome(7, "signal", "s", NOW)))
    with pytest.raises(StorageError, match="takes no more"):
        await writer.commit(appends("a/1"))
    with pytest.raises(StorageError, match="takes no more"):
        writer.queue(appends("a/2"))
    await writer.close()
    await pool.close()


async def test_too_much_waiting_is_refused_or_waits_for_room(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_WAITING", 50)
    async with opened(tmp_path, postgres) as storage:
        await storage.writer.commit(creates())
        for number in range(50):
            storage.writer.queue(appends(f"w/{number}"))
        with pytest.raises(StorageUnavailable, match="too many writes"):
            storage.writer.queue(appends("w/50"))
        await asyncio.gather(*(storage.writer.commit(appends(f"a/{n}")) for n in range(100)))
        row = await storage.reader.task(TENANT, "t1")
        assert row is not None
        assert row.last_seq == 150


async def test_a_commit_whose_caller_has_left_is_committed_all_the_same(tmp_path: Path, postgres: str) -> None:
    async with opened(tmp_path, postgres) as storage:
        await storage.writer.commit(creates())
        leaving = asyncio.ensure_future(storage.writer.commit(appends("a/1")))
        await asyncio.sleep(0)
        leaving.cancel()
        (second,) = await storage.writer.commit(appends("a/2"))
        assert isinstance(second, EventAppended)
        assert second.header.seq == 2


async def test_a_newer_database_is_refused(tmp_path: Path, postgres_server: PostgresServer, postgres: str) -> None:
    postgres_server.sql("UPDATE alembic_version SET version_num = '9999'", postgres)
    with pytest.raises(StorageNewer, match="upgrade the program"):
        async with opened(tmp_path, postgres):
            pass


async def test_a_reader_finds_nothing_where_nothing_is_made_yet(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async with open_reader(tmp_path, url=postgres_server.empty_database()) as reader:
        assert reader is None


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("mysql://somewhere/else", ConfigInvalid, "storage.url cannot be used"),
        ("", StorageError, "no such database"),
    ],
    ids=["not PostgreSQL", "no database"],
)
async def test_an_address_that_leads_nowhere_says_so(
    tmp_path: Path, postgres_server: PostgresServer, url: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        async with opened(tmp_path, url or postgres_server.url("none_such")):
            pass
