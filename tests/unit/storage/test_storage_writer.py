"""Any mix of commits, queued writes and failing requests, many at once, leaves what doing them one by one leaves."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiagent.core.errors import StorageError, StorageUnavailable
from multiagent.core.outcome import Outcome
from multiagent.storage.factory import DATABASE
from multiagent.storage.sql.ops import AppendOutcome, EventAppended, Op
from multiagent.storage.sql.sqlite import writer as writing
from multiagent.storage.sql.sqlite.reader import SqliteReader
from multiagent.storage.sql.sqlite.writer import SqliteWriter
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import NOW, TENANT, appends, creates

Request = tuple[str, list[str], bool]
"""How it is given, the event keys it appends, whether a journal row that is not the next one ends it."""

_REQUESTS = st.lists(
    st.tuples(st.just("commit"), st.lists(st.sampled_from("abcdefgh"), max_size=3), st.booleans())
    | st.tuples(st.just("queue"), st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), st.just(False)),
    min_size=1,
    max_size=8,
)


class Model:
    """One task, one request after the other."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.n = 0

    def run(self, request: Request) -> tuple[list[Op], list[tuple[str, bool]] | None]:
        """Return the operations of a request and, where it succeeds, each event's key and whether it is new."""
        how, keys, fails = request
        operations: list[Op] = [appends(key) for key in keys]
        n = self.n + (5 if fails else 1)
        if how == "commit":
            outcome = Outcome(n, "signal", "s", NOW)
            operations.append(AppendOutcome(tenant=TENANT, task="t1", outcome=outcome))
        if fails:
            return operations, None
        self.n += how == "commit"
        told = []
        for key in keys:
            told.append((key, key not in self.keys))
            if key not in self.keys:
                self.keys.append(key)
        return operations, told


@settings(max_examples=60)
@given(rounds=st.lists(_REQUESTS, min_size=1, max_size=6))
def test_many_at_once_are_as_one_by_one(tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Request]]) -> None:
    asyncio.run(_run(tmp_path_factory.mktemp("home"), rounds))


async def _run(home: Path, rounds: list[list[Request]]) -> None:
    writer = await SqliteWriter.open(home / DATABASE, CountedIds(), "NORMAL")
    reader = SqliteReader(home / DATABASE)
    heard: list[str] = []
    writer.on_commit(lambda headers: heard.extend(one.key for one in headers))
    await writer.commit(creates())
    model = Model()
    for requests in rounds:
        waiting, expected = [], []
        for request in requests:
            operations, told = model.run(request)
            if request[0] == "queue":
                writer.queue(*operations)
            else:
                waiting.append(asyncio.ensure_future(writer.commit(*operations)))
                expected.append(told)
                await asyncio.sleep(0)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        for answer, told in zip(answers, expected, strict=True):
            if isinstance(answer, BaseException):
                assert isinstance(answer, StorageError)
                assert told is None
            else:
                assert [(one.header.key, one.created) for one in answer if isinstance(one, EventAppended)] == told
    await writer.close()
    events = await reader.events(TENANT, "t1")
    assert [one.header.key for one in events] == model.keys == heard
    assert [one.header.seq for one in events] == list(range(1, len(model.keys) + 1))
    assert [row.n for row in await reader.journal(TENANT, "t1")] == list(range(1, model.n + 1))
    assert [row.seq for row in await reader.log(TENANT)] == list(range(1, len(model.keys) + 1))
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
