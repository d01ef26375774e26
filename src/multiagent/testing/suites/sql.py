"""What every relational storage must do with tasks and events, and the operations that all its suites use.

A test class of an adapter inherits from ``TaskSuite``, ``EventSuite`` and those of ``sql_steps`` and ``sql_budgets``,
and provides the fixture ``sql``: an open, empty storage.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from multiagent.core.errors import NotFound, StorageError
from multiagent.core.events import EventDraft, EventHeader, EventKind
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.usage import Bill, Usage
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.ops import (
    AddSessionTokens,
    AppendEvent,
    AppendOutcome,
    CreateTask,
    DeliverCommand,
    EventAppended,
    PutAgentExecution,
    PutSession,
    PutUser,
    StartStep,
    StepStarted,
    StoreCommand,
    StoreCompletion,
    StoreResult,
    StoreUsage,
    TaskCreated,
    UpdateTask,
)

TENANT: Final = "acme"
OTHER: Final = "umbrella"
NOW: Final = 1_750_000_000_000
FAILURE: Final = Failure("TOOL_FAILED", "it broke", retryable=True, details={"tool": "look"})


@dataclass(frozen=True, slots=True)
class Sql:
    """Relational storage, as a suite uses it."""

    writer: Writer
    reader: Reader


def creates(task: str = "t1", tenant: str = TENANT, *, key: str = "", time: int = NOW) -> CreateTask:
    """Return the acceptance of a task."""
    return CreateTask(
        tenant=tenant,
        id=task,
        workflow="task",
        input=b'{"a":1}',
        query="what?",
        user="ada",
        principal=b"{}",
        time=time,
        session="s1",
        idempotency_key=key,
    )


def appends(key: str, task: str = "t1", tenant: str = TENANT, payload: bytes = b"{}") -> AppendEvent:
    """Return the append of an event."""
    draft = EventDraft(key, EventKind.STEP_STARTED, payload, NOW, "agent/a1", "user/ada", "a1/think/1", "trace")
    return AppendEvent(tenant=tenant, task=task, event=draft)


def starts(key: str = "a1/think/1", *, hashed: str = "h1", owner: str = "o1", tenant: str = TENANT) -> StartStep:
    """Return the lease of a step."""
    return StartStep(tenant=tenant, task="t1", key=key, input_hash=hashed, owner=owner, time=NOW, lease_until=NOW + 9)


def stores(value: bytes, key: str = "a1/think/1", *, hashed: str = "h1", error: Failure | None = None) -> StoreResult:
    """Return the result of a step."""
    return StoreResult(
        tenant=TENANT, task="t1", key=key, input_hash=hashed, owner="o1", time=NOW, value=value, error=error
    )


def feeds(n: int, key: str = "a1/think/1~12345678") -> AppendOutcome:
    """Return the append of a journal row."""
    return AppendOutcome(tenant=TENANT, task="t1", outcome=Outcome(n, "result", key, NOW, b"", "d" * 64))


def bills(name: str, **more: object) -> StoreUsage:
    """Return a line of the bill: 10 + 20 tokens for 300 pico-dollars, 7 saved."""
    line = StoreUsage(
        tenant=TENANT,
        id=name,
        task="t1",
        step="a1/think/1",
        agent="a1",
        endpoint="e",
        vendor="v",
        model="m",
        user="ada",
        session="s1",
        usage=Usage(10, 20, cached=3),
        cost_pico=300,
        saved_pico=7,
        time=NOW,
    )
    return StoreUsage(**{name: getattr(line, name) for name in line.__struct_fields__} | more)


class TaskSuite:
    """Tasks, their agents, commands and people."""

    async def test_an_accepted_task_is_queued_with_its_submit_command(self, sql: Sql) -> None:
        assert await sql.writer.commit(creates()) == (TaskCreated("t1", created=True),)
        row = await sql.reader.task(TENANT, "t1")
        assert row is not None
        assert (row.status, row.query, row.user, row.session, row.last_seq) == ("queued", "what?", "ada", "s1", 0)
        assert (row.input, row.created, row.result, row.error, row.usage) == (b'{"a":1}', NOW, b"", None, Usage())
        (command,) = await sql.reader.commands()
        assert (command.tenant, command.task, command.kind) == (TENANT, "t1", "submit")

    async def test_a_known_idempotency_key_answers_the_task_that_has_it(self, sql: Sql) -> None:
        await sql.writer.commit(creates("t1", key="k"))
        assert await sql.writer.commit(creates("t2", key="k")) == (TaskCreated("t1", created=False),)
        assert await sql.writer.commit(creates("t1")) == (TaskCreated("t1", created=False),)
        assert await sql.reader.task(TENANT, "t2") is None
        assert await sql.writer.commit(creates("t3", OTHER, key="k")) == (TaskCreated("t3", created=True),)
        assert len(await sql.reader.commands()) == 2

    async def test_an_update_sets_what_it_names(self, sql: Sql) -> None:
        await sql.writer.commit(creates())
        update = UpdateTask(tenant=TENANT, id="t1", time=NOW + 5, status="waiting", waits_for="approval", mode="simple")
        await sql.writer.commit(update)
        spent = UpdateTask(tenant=TENANT, id="t1", time=NOW + 6, usage=Usage(1, 2), cost_pico=9, duration_ms=4)
        await sql.writer.commit(spent, UpdateTask(tenant=TENANT, id="t1", time=NOW + 7, error=FAILURE, result=b"{}"))
        row = await sql.reader.task(TENANT, "t1")
        assert row is not None
        assert (row.status, row.waits_for, row.mode, row.updated) == ("waiting", "approval", "simple", NOW + 7)
        assert (row.usage, row.cost_pico, row.duration_ms) == (Usage(1, 2), 9, 4)
        assert (row.error, row.result) == (FAILURE, b"{}")

    async def test_a_finished_status_never_changes(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), UpdateTask(tenant=TENANT, id="t1", time=NOW, status="completed"))
        late = UpdateTask(tenant=TENANT, id="t1", time=NOW + 1, status="cancelled", error=FAILURE)
        await sql.writer.commit(late, UpdateTask(tenant=TENANT, id="t1", time=NOW + 2, cost_pico=5))
        row = await sql.reader.task(TENANT, "t1")
        assert row is not None
        assert (row.status, row.error, row.cost_pico) == ("completed", None, 5)

    async def test_an_update_of_no_task_is_not_found(self, sql: Sql) -> None:
        with pytest.raises(NotFound, match="no task t9"):
            await sql.writer.commit(UpdateTask(tenant=TENANT, id="t9", time=NOW, status="running"))

    async def test_tasks_are_listed_newest_first(self, sql: Sql) -> None:
        await sql.writer.commit(*(creates(f"t{n}", time=NOW + n) for n in range(5)), creates("t9", OTHER))
        await sql.writer.commit(UpdateTask(tenant=TENANT, id="t3", time=NOW, status="running"))
        assert [row.id for row in await sql.reader.tasks(TENANT)] == ["t4", "t3", "t2", "t1", "t0"]
        assert [row.id for row in await sql.reader.tasks(TENANT, before="t3", limit=2)] == ["t2", "t1"]
        assert [row.id for row in await sql.reader.tasks(TENANT, status="running")] == ["t3"]

    async def test_unfinished_tasks_of_all_tenants_come_oldest_first(self, sql: Sql) -> None:
        await sql.writer.commit(creates("t2", time=NOW + 1), creates("t1", OTHER), creates("t3", time=NOW + 2))
        await sql.writer.commit(UpdateTask(tenant=TENANT, id="t3", time=NOW, status="failed"))
        assert [(row.tenant, row.id) for row in await sql.reader.unfinished()] == [(OTHER, "t1"), (TENANT, "t2")]

    async def test_a_command_waits_until_it_is_delivered(self, sql: Sql) -> None:
        cancel = StoreCommand(
            tenant=TENANT, id="c1", task="t1", kind="cancel", payload=b"{}", principal=b"{}", time=NOW + 1
        )
        await sql.writer.commit(creates(), cancel, cancel)
        assert [one.kind for one in await sql.reader.commands()] == ["submit", "cancel"]
        assert [one.kind for one in await sql.reader.commands(limit=1)] == ["submit"]
        submit = (await sql.reader.commands())[0].id
        await sql.writer.commit(DeliverCommand(tenant=TENANT, id=submit, time=NOW + 2))
        assert [one.id for one in await sql.reader.commands()] == ["c1"]

    async def test_an_agent_task_has_one_row_that_is_replaced(self, sql: Sql) -> None:
        begun = PutAgentExecution(tenant=TENANT, task="t1", agent="a2", query="q", status="running", time=NOW)
        ended = PutAgentExecution(
            tenant=TENANT, task="t1", agent="a2", query="q", status="completed", time=NOW + 1, result="42",
            model="m", vendor="v", usage=Usage(1, 2), cost_pico=5, execution_ms=6, tool_calls=7,
        )  # fmt: skip
        first = PutAgentExecution(tenant=TENANT, task="t1", agent="a1", query="p", status="running", time=NOW)
        await sql.writer.commit(creates(), begun, first, ended)
        one, two = await sql.reader.agents(TENANT, "t1")
        assert (one.agent, two.agent, two.status, two.result, two.usage) == ("a1", "a2", "completed", "42", Usage(1, 2))
        assert (two.model, two.vendor, two.cost_pico, two.execution_ms, two.tool_calls) == ("m", "v", 5, 6, 7)

    async def test_a_session_counts_its_tokens(self, sql: Sql) -> None:
        user = PutUser(tenant=TENANT, id="ada", time=NOW, external_id="x", email="ada@example.com")
        plain = PutSession(tenant=TENANT, id="s1", user="ada", time=NOW)
        wide = PutSession(tenant=TENANT, id="s2", user="ada", time=NOW, token_budget=7, expires=NOW + 1)
        await sql.writer.commit(user, user, plain, wide, plain)
        await sql.writer.commit(AddSessionTokens(tenant=TENANT, id="s1", tokens=5, time=NOW))
        await sql.writer.commit(AddSessionTokens(tenant=TENANT, id="s1", tokens=6, time=NOW))
        first, second = await sql.reader.session(TENANT, "s1"), await sql.reader.session(TENANT, "s2")
        assert first is not None
        assert second is not None
        assert (first.token_budget, first.tokens_used, first.expires) == (10_000, 11, None)
        assert (second.token_budget, second.tokens_used, second.expires) == (7, 0, NOW + 1)
        with pytest.raises(NotFound, match="s9"):
            await sql.writer.commit(AddSessionTokens(tenant=TENANT, id="s9", tokens=5, time=NOW))

    async def test_a_tenant_sees_nothing_of_another(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), appends("w/1"), starts(), stores(b"1"), feeds(1), bills("u1"))
        await sql.writer.commit(StoreCompletion(tenant=TENANT, key="k", request_hash="h", answer=b"a", time=NOW))
        reader = sql.reader
        assert await reader.task(OTHER, "t1") is None
        assert (await reader.tasks(OTHER), await reader.events(OTHER, "t1"), await reader.journal(OTHER, "t1")) == (
            (),
            (),
            (),
        )
        assert (await reader.results(OTHER, "t1"), await reader.completion(OTHER, "k")) == ({}, None)
        assert await reader.bill(OTHER, "t1") == Bill()
        with pytest.raises(NotFound):
            await sql.writer.commit(appends("w/2", tenant=OTHER))


class EventSuite:
    """Events, and what a transaction promises."""

    async def test_events_are_numbered_without_gaps_and_stored_once(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), creates("t2"))
        first, again, second = await sql.writer.commit(
            appends("w/1", payload=b"1"), appends("w/1", payload=b"2"), appends("w/2")
        )
        (other,) = await sql.writer.commit(appends("w/1", "t2"))
        assert isinstance(first, EventAppended)
        assert isinstance(again, EventAppended)
        assert isinstance(second, EventAppended)
        assert isinstance(other, EventAppended)
        assert (first.created, again.created, first.header) == (True, False, again.header)
        assert (first.header.seq, second.header.seq, other.header.seq) == (1, 2, 1)
        events = await sql.reader.events(TENANT, "t1")
        assert [(one.header.key, one.payload) for one in events] == [("w/1", b"1"), ("w/2", b"{}")]
        assert events[0].header == first.header
        header = first.header
        assert (header.principal, header.on_behalf_of, header.cause) == ("agent/a1", "user/ada", "a1/think/1")
        assert (header.trace_id, header.kind, header.time, header.v) == ("trace", EventKind.STEP_STARTED, NOW, 1)
        assert len(header.commitment) == 64
        assert len({header.id, second.header.id, other.header.id}) == 3
        row = await sql.reader.task(TENANT, "t1")
        assert row is not None
        assert row.last_seq == 2

    async def test_equal_payloads_have_different_commitments(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), appends("w/1"), appends("w/2"))
        one, two = await sql.reader.events(TENANT, "t1")
        assert one.header.commitment != two.header.commitment

    async def test_a_reader_resumes_after_the_last_event_it_saw(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), *(appends(f"w/{n}") for n in range(1, 8)))
        assert [one.header.seq for one in await sql.reader.events(TENANT, "t1", after=3, limit=2)] == [4, 5]

    async def test_a_commit_is_all_or_nothing_and_leaves_no_gap(self, sql: Sql) -> None:
        await sql.writer.commit(creates())
        with pytest.raises(StorageError):
            await sql.writer.commit(appends("w/1"), starts(), feeds(7))
        assert await sql.reader.events(TENANT, "t1") == ()
        (after,) = await sql.writer.commit(appends("w/2"))
        assert isinstance(after, EventAppended)
        assert after.header.seq == 1
        assert await sql.writer.commit(starts()) == (StepStarted(1, 0),)

    async def test_one_failing_commit_fails_alone_among_many(self, sql: Sql) -> None:
        await sql.writer.commit(creates())
        told: list[int] = []
        sql.writer.on_commit(lambda headers: told.extend(one.seq for one in headers))
        commits = [sql.writer.commit(appends(f"w/{n}"), *([feeds(9)] if n % 3 == 0 else [])) for n in range(1, 10)]
        answers = await asyncio.gather(*commits, return_exceptions=True)
        assert [isinstance(one, StorageError) for one in answers] == [n % 3 == 0 for n in range(1, 10)]
        events = await sql.reader.events(TENANT, "t1")
        assert [one.header.key for one in events] == ["w/1", "w/2", "w/4", "w/5", "w/7", "w/8"]
        assert [one.header.seq for one in events] == told == [1, 2, 3, 4, 5, 6]

    async def test_queued_writes_come_before_later_commits(self, sql: Sql) -> None:
        await sql.writer.commit(creates())
        sql.writer.queue(appends("w/1"))
        sql.writer.queue(appends("w/2"), appends("w/3"))
        (last,) = await sql.writer.commit(appends("a/1"))
        assert isinstance(last, EventAppended)
        assert last.header.seq == 4

    async def test_queued_writes_are_committed_when_nothing_follows(self, sql: Sql) -> None:
        await sql.writer.commit(creates())
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        sql.writer.on_commit(lambda headers: heard.set_result(headers[0].key))
        sql.writer.queue(appends("w/1"))
        async with asyncio.timeout(30):
            assert await heard == "w/1"
        assert len(await sql.reader.events(TENANT, "t1")) == 1

    async def test_listeners_hear_of_new_events_until_they_unsubscribe(self, sql: Sql) -> None:
        told: list[Sequence[EventHeader]] = []
        stop = sql.writer.on_commit(told.append)
        await sql.writer.commit(creates(), appends("w/1"))
        await sql.writer.commit(appends("w/1"))
        stop()
        await sql.writer.commit(appends("w/2"))
        assert [[one.key for one in batch] for batch in told] == [["w/1"]]

    async def test_an_unknown_task_has_no_events(self, sql: Sql) -> None:
        with pytest.raises(NotFound, match="t9"):
            await sql.writer.commit(appends("w/1", "t9"))

    async def test_the_log_orders_the_events_of_all_tasks_once_they_are_finished(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), creates("t2"))
        for n in range(1, 50):
            await sql.writer.commit(appends(f"w/{n}"), appends(f"w/{n}", "t2"))
        over = [UpdateTask(tenant=TENANT, id=task, time=NOW, status="completed") for task in ("t1", "t2")]
        await sql.writer.commit(appends("w/50"), *over)
        await sql.writer.commit(appends("late", "t2"))
        async with asyncio.timeout(20):
            while len(log := await sql.reader.log(TENANT)) < 100:  # noqa: ASYNC110 — another one may fill it
                await asyncio.sleep(0)
        expected = [(task, n) for n in range(1, 50) for task in ("t1", "t2")]
        assert [(row.task, row.seq) for row in log] == [*expected, ("t1", 50), ("t2", 50)]
        positions = [row.position for row in log]
        assert positions == sorted(set(positions))
        assert await sql.reader.log(TENANT, after=positions[-2]) == log[-1:]
        assert await sql.reader.log(OTHER) == ()
