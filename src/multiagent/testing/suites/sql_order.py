"""Any mix of commits, queued writes and failing requests, many at once, leaves what doing them one by one leaves."""

import asyncio
from typing import Final

from hypothesis import strategies as st

from multiagent.core.errors import StorageError
from multiagent.core.outcome import Outcome
from multiagent.storage.sql.ops import AppendOutcome, EventAppended, Op
from multiagent.testing.suites.sql import NOW, Sql, appends, creates

Request = tuple[str, list[str], bool]
"""How it is given, the event keys it appends, whether a journal row that is not the next one ends it."""

REQUESTS: Final = st.lists(
    st.tuples(st.just("commit"), st.lists(st.sampled_from("abcdefgh"), max_size=3), st.booleans())
    | st.tuples(st.just("queue"), st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3), st.just(False)),
    min_size=1,
    max_size=8,
)
ROUNDS: Final = st.lists(REQUESTS, min_size=1, max_size=6)


class Model:
    """One task, one request after the other."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self.keys: list[str] = []
        self.n = 0

    def run(self, request: Request) -> tuple[list[Op], list[tuple[str, bool]] | None]:
        """Return the operations of a request and, where it succeeds, each event's key and whether it is new."""
        how, keys, fails = request
        operations: list[Op] = [appends(key, tenant=self._tenant) for key in keys]
        n = self.n + (5 if fails else 1)
        if how == "commit":
            outcome = Outcome(n, "signal", "s", NOW)
            operations.append(AppendOutcome(tenant=self._tenant, task="t1", outcome=outcome))
        if fails:
            return operations, None
        self.n += how == "commit"
        told = []
        for key in keys:
            told.append((key, key not in self.keys))
            if key not in self.keys:
                self.keys.append(key)
        return operations, told


async def check_order(sql: Sql, tenant: str, rounds: list[list[Request]]) -> None:
    """Do the requests of each round at once, on a new task of a tenant that has none, and compare with the model."""
    heard: list[str] = []
    stop = sql.writer.on_commit(lambda headers: heard.extend(one.key for one in headers))
    await sql.writer.commit(creates(tenant=tenant))
    model = Model(tenant)
    for requests in rounds:
        await _do(sql, model, requests)
    await sql.writer.commit(appends("last", tenant=tenant))
    stop()
    events = await sql.reader.events(tenant, "t1")
    assert [one.header.key for one in events] == [*model.keys, "last"] == heard
    assert [one.header.seq for one in events] == list(range(1, len(model.keys) + 2))
    assert [row.n for row in await sql.reader.journal(tenant, "t1")] == list(range(1, model.n + 1))


async def _do(sql: Sql, model: Model, requests: list[Request]) -> None:
    waiting, expected = [], []
    for request in requests:
        operations, told = model.run(request)
        if request[0] == "queue":
            sql.writer.queue(*operations)
        else:
            waiting.append(asyncio.ensure_future(sql.writer.commit(*operations)))
            expected.append(told)
            await asyncio.sleep(0)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    for answer, told in zip(answers, expected, strict=True):
        if isinstance(answer, BaseException):
            assert isinstance(answer, StorageError)
            assert told is None
        else:
            assert [(one.header.key, one.created) for one in answer if isinstance(one, EventAppended)] == told
