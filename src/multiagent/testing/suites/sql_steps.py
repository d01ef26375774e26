"""What every relational storage must do with steps, the journal, messages, model calls, intents and approvals."""

import asyncio

import pytest

from multiagent.core.errors import NonDeterminism, NotFound, StorageError
from multiagent.core.messages import message_hash, says
from multiagent.core.outcome import Outcome, Patch
from multiagent.core.usage import Bill, Usage
from multiagent.storage.sql.ops import (
    AppendOutcome,
    ConsumeApproval,
    DecideApproval,
    Intent,
    PutAgentExecution,
    RecordIntent,
    RequestApproval,
    ResolveIntent,
    StepStarted,
    StoreCompletion,
    StoredResult,
    StoreMessage,
    TaskCreated,
)
from multiagent.testing.suites.sql import FAILURE, NOW, TENANT, Sql, appends, bills, creates, feeds, starts, stores


class StepSuite:
    """Steps' results, the journal, messages."""

    async def test_a_step_counts_its_starts_and_its_owners_deaths(self, sql: Sql) -> None:
        await sql.writer.commit(creates())
        assert await sql.writer.commit(starts()) == (StepStarted(1, 0),)
        assert await sql.writer.commit(starts()) == (StepStarted(2, 0),)
        assert await sql.writer.commit(starts(owner="o2")) == (StepStarted(3, 1),)
        assert await sql.writer.commit(starts(owner="o3")) == (StepStarted(4, 2),)
        assert await sql.reader.results(TENANT, "t1") == {}
        assert await sql.reader.result(TENANT, "t1", "a1/think/1") is None

    async def test_a_committed_result_is_found_and_not_started_again(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), starts(), stores(b"[1]"))
        stands = StoredResult("a1/think/1", "h1", b"[1]")
        assert await sql.writer.commit(starts(owner="o2")) == (StepStarted(1, 0, stands),)
        assert await sql.reader.result(TENANT, "t1", "a1/think/1") == stands
        assert await sql.reader.results(TENANT, "t1") == {"a1/think/1": stands}

    async def test_the_first_result_wins(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), starts())
        first, second = await asyncio.gather(sql.writer.commit(stores(b"1")), sql.writer.commit(stores(b"2")))
        assert first == second == (StoredResult("a1/think/1", "h1", b"1"),)

    async def test_a_failure_is_a_result_too(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), starts(), stores(b"", error=FAILURE))
        found = await sql.reader.result(TENANT, "t1", "a1/think/1")
        assert found == StoredResult("a1/think/1", "h1", error=FAILURE)

    async def test_a_result_may_be_stored_without_a_lease(self, sql: Sql) -> None:
        assert await sql.writer.commit(creates(), stores(b"1")) == (
            TaskCreated("t1", created=True),
            StoredResult("a1/think/1", "h1", b"1"),
        )

    async def test_another_input_under_the_same_key_is_non_determinism(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), starts(), starts("b"), stores(b"1", "b"))
        for wrong in (starts(hashed="h2"), starts("b", hashed="h2"), stores(b"", hashed="h2")):
            with pytest.raises(NonDeterminism):
                await sql.writer.commit(wrong)

    async def test_the_journal_takes_the_next_row_only(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), appends("w/1"), feeds(1), appends("w/2"), feeds(2))
        for wrong in (2, 4):
            with pytest.raises(StorageError, match=f"outcome {wrong}"):
                await sql.writer.commit(feeds(wrong))
        whole = Outcome(3, "signal", "go", NOW, b"[2]", "e" * 64, (Patch("p", taken=True),))
        await sql.writer.commit(AppendOutcome(tenant=TENANT, task="t1", outcome=whole))
        rows = await sql.reader.journal(TENANT, "t1")
        assert [(row.n, row.event_seq) for row in rows] == [(1, 1), (2, 2), (3, 2)]
        assert (rows[2].kind, rows[2].key, rows[2].value, rows[2].digest) == ("signal", "go", b"[2]", "e" * 64)
        assert rows[2].patches == whole.patches

    async def test_a_conversation_is_read_from_its_head(self, sql: Sql) -> None:
        first = says("system", "你好")
        second = says("user", "why?", message_hash(first))
        third = says("assistant", "because", message_hash(second), ("untrusted",))
        for message in (first, second, third):
            stored = StoreMessage(tenant=TENANT, message=message, time=NOW)
            assert await sql.writer.commit(stored) == await sql.writer.commit(stored) == (message_hash(message),)
        assert await sql.reader.chain(TENANT, message_hash(third)) == (first, second, third)
        assert await sql.reader.chain(TENANT, "") == ()

    async def test_a_message_of_any_size_is_kept(self, sql: Sql) -> None:
        first = says("user", "数" * 300_000)
        second = says("assistant", "noted", message_hash(first))
        await sql.writer.commit(*(StoreMessage(tenant=TENANT, message=one, time=NOW) for one in (first, second)))
        assert await sql.reader.chain(TENANT, message_hash(second)) == (first, second)

    async def test_a_broken_conversation_is_not_found(self, sql: Sql) -> None:
        orphan = says("user", "why?", "0" * 64)
        await sql.writer.commit(StoreMessage(tenant=TENANT, message=orphan, time=NOW))
        for head in (message_hash(orphan), "1" * 64):
            with pytest.raises(NotFound):
                await sql.reader.chain(TENANT, head)


class CallSuite:
    """Completions, bills, intents, approvals."""

    async def test_the_first_completion_stands(self, sql: Sql) -> None:
        first = StoreCompletion(tenant=TENANT, key="k", request_hash="h", answer=b"1", time=NOW)
        second = StoreCompletion(tenant=TENANT, key="k", request_hash="h", answer=b"2", time=NOW)
        assert await sql.writer.commit(first, second) == (True, False)
        found = await sql.reader.completion(TENANT, "k")
        assert found is not None
        assert (found.request_hash, found.answer) == ("h", b"1")

    async def test_a_bill_sums_its_lines_and_counts_each_once(self, sql: Sql) -> None:
        await sql.writer.commit(creates(), bills("u1"), bills("u2"), bills("u1"), bills("u3", task="t2"))
        agent = PutAgentExecution(
            tenant=TENANT, task="t1", agent="a1", query="q", status="completed", time=NOW, tool_calls=4
        )
        await sql.writer.commit(agent)
        expected = Bill(Usage(20, 40, cached=6), 600, 14, model_calls=2, tool_calls=4)
        assert await sql.reader.bill(TENANT, "t1") == expected

    async def test_the_reported_tokens_of_a_prompt_are_found_by_its_head_and_model(self, sql: Sql) -> None:
        await sql.writer.commit(
            bills("u1", head_hash="x"),
            bills("u2", head_hash="x", usage=Usage(11, 1)),
            bills("u3", head_hash="x", model="other"),
            bills("u4", head_hash="x", usage=Usage(99, 9), estimated=True),
        )
        assert await sql.reader.reported_prompt(TENANT, "x", "m") == Usage(11, 1)
        assert await sql.reader.reported_prompt(TENANT, "y", "m") is None
        assert await sql.reader.reported_prompt(TENANT, "", "m") is None

    async def test_an_intent_stands_until_its_outcome_is_known(self, sql: Sql) -> None:
        intends = RecordIntent(tenant=TENANT, task="t1", step="a1/act/1/run", tool="pay", args_hash="h", time=NOW)
        assert await sql.writer.commit(intends) == (Intent(created=True, tool="pay", args_hash="h"),)
        assert await sql.writer.commit(intends) == (Intent(created=False, tool="pay", args_hash="h"),)
        for outcome in (b"paid", b"again"):
            await sql.writer.commit(
                ResolveIntent(tenant=TENANT, task="t1", step="a1/act/1/run", outcome=outcome, time=NOW)
            )
        assert await sql.writer.commit(intends) == (Intent(created=False, tool="pay", args_hash="h", outcome=b"paid"),)

    async def test_an_approval_is_decided_once_and_used_by_one_step(self, sql: Sql) -> None:
        asks = RequestApproval(
            tenant=TENANT, id="p1", task="t1", step="s/check", tool="pay", args_hash="h", arguments=b"{}", time=NOW,
            expires=NOW + 100,
        )  # fmt: skip
        uses = ConsumeApproval(tenant=TENANT, task="t1", step="s/run", args_hash="h", time=NOW + 1)
        other = ConsumeApproval(tenant=TENANT, task="t1", step="s2/run", args_hash="h", time=NOW + 1)
        assert await sql.writer.commit(asks, asks, uses) == (None, None, False)
        assert await sql.reader.approval_state(TENANT, "p1") == "pending"
        yes = DecideApproval(tenant=TENANT, id="p1", state="approved", decided_by="user/ada", time=NOW, reason="fine")
        no = DecideApproval(tenant=TENANT, id="p1", state="expired", decided_by="", time=NOW)
        assert await sql.writer.commit(yes, no) == (True, False)
        assert await sql.writer.commit(uses, uses, other) == (True, True, False)
        assert await sql.reader.approval_state(TENANT, "p1") == "consumed"
        assert await sql.reader.approval_state(TENANT, "p9") is None

    async def test_an_approval_covers_its_own_arguments_and_time_only(self, sql: Sql) -> None:
        asks = RequestApproval(
            tenant=TENANT, id="p1", task="t1", step="s/check", tool="pay", args_hash="h", arguments=b"{}", time=NOW,
            expires=NOW + 100,
        )  # fmt: skip
        yes = DecideApproval(tenant=TENANT, id="p1", state="approved", decided_by="user/ada", time=NOW)
        forged = ConsumeApproval(tenant=TENANT, task="t1", step="s/run", args_hash="h2", time=NOW + 1)
        late = ConsumeApproval(tenant=TENANT, task="t1", step="s/run", args_hash="h", time=NOW + 101)
        assert (await sql.writer.commit(asks, yes, forged, late))[2:] == (False, False)
