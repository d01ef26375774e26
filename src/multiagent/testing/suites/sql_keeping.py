"""What every relational storage must do with what sessions remember, and with what retention takes away."""

import asyncio
import json
from typing import Final

from multiagent.core.messages import Message, message_hash, says
from multiagent.storage.sql.keeping import ForgetSession, PruneTask, RememberTurn, ReplaceMemory, SweepMessages
from multiagent.storage.sql.ops import PutSession, StoreMessage, StoreResult, UpdateTask
from multiagent.testing.suites.sql import NOW, TENANT, Sql, appends, bills, creates, feeds, starts, stores

HOUR: Final = 3_600_000


def turn(task: str, answer: str, session: str = "s1") -> RememberTurn:
    """A task to remember."""
    return RememberTurn(
        tenant=TENANT, session=session, task=task, turn=json.dumps({"answer": answer}).encode(), time=NOW
    )


class SessionSuite:
    """Sessions."""

    async def test_turns_that_come_together_are_all_remembered(self, sql: Sql) -> None:
        await sql.writer.commit(PutSession(tenant=TENANT, id="s1", user="u", time=NOW))
        assert await sql.reader.memory(TENANT, "s1") == b"{}"
        await asyncio.gather(*(sql.writer.commit(turn(f"t{n}", f'"{n}" ü')) for n in range(5)))
        found = json.loads(await sql.reader.memory(TENANT, "s1"))
        assert found == {f"t{n}": {"answer": f'"{n}" ü'} for n in range(5)}

    async def test_a_turn_is_remembered_once(self, sql: Sql) -> None:
        await sql.writer.commit(PutSession(tenant=TENANT, id="s1", user="u", time=NOW))
        await sql.writer.commit(turn("t1", "one"), turn("t1", "two"))
        assert json.loads(await sql.reader.memory(TENANT, "s1")) == {"t1": {"answer": "two"}}

    async def test_memory_is_replaced_only_where_it_is_as_it_was_read(self, sql: Sql) -> None:
        await sql.writer.commit(PutSession(tenant=TENANT, id="s1", user="u", time=NOW), turn("t1", "one"))
        before = await sql.reader.memory(TENANT, "s1")
        await sql.writer.commit(turn("t2", "two"))
        stale = ReplaceMemory(tenant=TENANT, session="s1", before=before, after=b"{}")
        assert await sql.writer.commit(stale) == (False,)
        fresh = ReplaceMemory(
            tenant=TENANT, session="s1", before=await sql.reader.memory(TENANT, "s1"), after=b'{"t2":{"answer":"2"}}'
        )
        assert await sql.writer.commit(fresh) == (True,)
        assert json.loads(await sql.reader.memory(TENANT, "s1")) == {"t2": {"answer": "2"}}

    async def test_a_session_is_forgotten_and_stays_listed(self, sql: Sql) -> None:
        await sql.writer.commit(PutSession(tenant=TENANT, id="s1", user="u", time=NOW), turn("t1", "one"))
        await sql.writer.commit(PutSession(tenant=TENANT, id="s2", user="u", time=NOW + 1))
        forget = ForgetSession(tenant=TENANT, session="s1")
        assert await sql.writer.commit(forget, ForgetSession(tenant=TENANT, session="s9")) == (True, False)
        assert await sql.reader.memory(TENANT, "s1") == b"{}"
        assert [one.id for one in await sql.reader.sessions(TENANT)] == ["s2", "s1"]
        assert await sql.reader.sessions("other") == ()

    async def test_an_unknown_session_remembers_nothing(self, sql: Sql) -> None:
        await sql.writer.commit(turn("t1", "one", "s9"))
        assert await sql.reader.memory(TENANT, "s9") == b""


def ends(task: str = "t1") -> UpdateTask:
    """A task's end."""
    return UpdateTask(tenant=TENANT, id=task, time=NOW, status="completed", result=b'{"text":"the answer"}')


def prunes(task: str = "t1") -> PruneTask:
    """A task's pruning."""
    return PruneTask(tenant=TENANT, id=task, time=NOW, archive="objects:abc")


def keeps(message: Message) -> StoreMessage:
    """A message to store."""
    return StoreMessage(tenant=TENANT, message=message, time=NOW)


def answers(task: str, value: bytes) -> StoreResult:
    """A step's result."""
    return StoreResult(tenant=TENANT, task=task, key="k", input_hash="h", owner="o", time=NOW, value=value)


class RetentionSuite:
    """Pruning."""

    async def test_a_pruned_task_keeps_its_row_its_bill_and_its_headers(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), starts(), stores(b"[1]"), feeds(1), appends("e1"), bills("b1"), ends())
        before = await sql.reader.events(TENANT, "t1")
        bill = await sql.reader.bill(TENANT, "t1")
        (weight,) = await sql.reader.weights(TENANT)
        assert (weight.id, weight.bytes > 0) == ("t1", True)
        assert await sql.writer.commit(prunes()) == (True,)
        row = await sql.reader.task(TENANT, "t1")
        assert row is not None
        assert (row.status, row.input, row.result) == ("completed", b"", b"")
        after = await sql.reader.events(TENANT, "t1")
        assert [one.header for one in after] == [one.header for one in before]
        assert {one.payload for one in after} == {b""}
        assert await sql.reader.results(TENANT, "t1") == {}
        assert await sql.reader.journal(TENANT, "t1") == ()
        assert await sql.reader.bill(TENANT, "t1") == bill
        assert await sql.reader.weights(TENANT) == ()
        assert await sql.writer.commit(prunes()) == (False,)

    async def test_a_task_under_way_is_never_pruned(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), starts(), stores(b"[1]"))
        for status in ("queued", "running", "waiting", "paused"):
            await sql.writer.commit(UpdateTask(tenant=TENANT, id="t1", time=NOW, status=status))
            assert await sql.writer.commit(prunes(), prunes("t9")) == (False, False)
        assert list(await sql.reader.results(TENANT, "t1")) == ["a1/think/1"]
        assert await sql.reader.weights(TENANT) == ()

    async def test_messages_go_when_nothing_names_their_chain(self, sql: Sql) -> None:
        """A chain is kept to its root as long as one result names its end; the young stay, and so does all that is
        there while a task is under way.
        """
        root = says("system", "be brief")
        shared = says("user", "both", message_hash(root))
        gone = says("assistant", "only in t1", message_hash(shared))
        kept = says("assistant", "only in t2", message_hash(shared))
        named = [json.dumps({"head": message_hash(one)}).encode() for one in (gone, kept)]
        sweep = SweepMessages(tenant=TENANT, time=NOW + 2 * HOUR)
        await sql.writer.commit(
            *map(keeps, (root, shared, gone, kept)),
            creates(), starts(), stores(named[0]), creates("t2"), answers("t2", named[1]), ends(),
        )  # fmt: skip
        assert await sql.writer.commit(prunes(), sweep) == (True, -1)
        await sql.writer.commit(ends("t2"))
        assert await sql.writer.commit(SweepMessages(tenant=TENANT, time=NOW + HOUR - 1)) == (0,)
        assert await sql.writer.commit(sweep) == (1,)
        assert await sql.reader.chain(TENANT, message_hash(kept)) == (root, shared, kept)
        assert await sql.writer.commit(prunes("t2"), sweep) == (True, 3)
