"""What every relational storage must do with what sessions remember."""

import asyncio
import json

from multiagent.storage.sql.keeping import ForgetSession, RememberTurn, ReplaceMemory
from multiagent.storage.sql.ops import PutSession
from multiagent.testing.suites.sql import NOW, TENANT, Sql


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
