"""What every relational storage must do with commands and with decisions on approvals."""

import asyncio

import pytest

from multiagent.storage.sql.ops import (
    ConsumeApproval,
    DecideApproval,
    DeliverCommand,
    RequestApproval,
    StoreCommand,
    TakeDecision,
)
from multiagent.testing.suites.sql import NOW, OTHER, TENANT, Sql


def asks(identity: str = "p1", task: str = "t1", *, time: int = NOW) -> RequestApproval:
    """Return a request for a person's word."""
    return RequestApproval(
        tenant=TENANT, id=identity, task=task, step=f"{identity}/run", tool="pay", args_hash="h", arguments=b"{}",
        time=time, expires=NOW + 100,
    )  # fmt: skip


def stores(identity: str, kind: str = "decide", task: str = "t1") -> StoreCommand:
    """Return a command."""
    return StoreCommand(tenant=TENANT, id=identity, task=task, kind=kind, payload=b"", principal=b"", time=NOW)


def takes(command: str, state: str = "approved", *, task: str = "t1", seen: str = "h", time: int = NOW) -> TakeDecision:
    """Return a decision on ``p1``."""
    return TakeDecision(
        tenant=TENANT, id="p1", command=stores(command, task=task), state=state, decided_by="user/ada", time=time,
        args_hash=seen, reason="fine",
    )  # fmt: skip


class ControlSuite:
    """Commands and decisions."""

    async def test_what_became_of_a_command_is_told(self, sql: Sql) -> None:
        await sql.writer.commit(stores("c1", "cancel"), stores("c2", "cancel"))
        assert await sql.reader.command(TENANT, "c0") is None
        assert await sql.reader.command(OTHER, "c1") is None
        waits = await sql.reader.command(TENANT, "c1")
        assert waits is not None
        assert (waits.task, waits.kind, waits.delivered, waits.error) == ("t1", "cancel", None, "")
        await sql.writer.commit(DeliverCommand(tenant=TENANT, id="c1", time=NOW + 5, error="NOT_FOUND: no"))
        await sql.writer.commit(DeliverCommand(tenant=TENANT, id="c1", time=NOW + 9))
        told = await sql.reader.command(TENANT, "c1")
        assert told is not None
        assert (told.delivered, told.error) == (NOW + 5, "NOT_FOUND: no")

    async def test_a_decision_and_its_command_are_stored_together_once(self, sql: Sql) -> None:
        assert await sql.writer.commit(asks(), takes("c1"), takes("c1", "rejected")) == (None, "", "")
        row = await sql.reader.approval(TENANT, "p1")
        assert row is not None
        assert (row.state, row.decided_by, row.decided, row.reason) == ("approved", "user/ada", NOW, "fine")
        assert [command.id for command in await sql.reader.commands()] == ["c1"]

    async def test_of_many_decisions_one_is_taken_and_the_others_are_told(self, sql: Sql) -> None:
        await sql.writer.commit(asks())
        ends = await asyncio.gather(*(sql.writer.commit(takes(f"c{number}")) for number in range(10)))
        assert sorted(str(end[0])[:13] for end in ends) == ["", *["INVALID_INPUT"] * 9]
        assert len(await sql.reader.commands()) == 1
        for number in range(10):
            state = await sql.reader.command(TENANT, f"c{number}")
            assert state is not None
            assert (state.delivered is None) is (state.error == "")

    @pytest.mark.parametrize(
        ("decision", "words"),
        [
            (takes("c1", task="t2"), "NOT_FOUND: there is no approval p1 of task t2"),
            (takes("c1", seen="other"), "not those that were shown"),
            (takes("c1", time=NOW + 100), "expired already"),
        ],
        ids=["another task", "other arguments", "late"],
    )
    async def test_a_decision_that_does_not_fit_changes_nothing(
        self, sql: Sql, decision: TakeDecision, words: str
    ) -> None:
        _, refused = await sql.writer.commit(asks(), decision)
        assert words in str(refused)
        assert await sql.reader.approval_state(TENANT, "p1") == "pending"
        assert await sql.reader.commands() == ()

    async def test_an_approval_that_was_used_or_expired_is_decided_no_more(self, sql: Sql) -> None:
        use = ConsumeApproval(tenant=TENANT, task="t1", step="p1/run", args_hash="h", time=NOW)
        *_, used = await sql.writer.commit(asks(), takes("c1"), use, takes("c2"))
        assert "used already" in str(used)
        over = DecideApproval(tenant=TENANT, id="p2", state="expired", decided_by="clock", time=NOW)
        late = TakeDecision(
            tenant=TENANT, id="p2", command=stores("c3"), state="approved", decided_by="user/ada", time=NOW,
            args_hash="h",
        )  # fmt: skip
        *_, refused = await sql.writer.commit(asks("p2"), over, late)
        assert "expired already" in str(refused)

    async def test_edited_arguments_are_what_the_approval_covers(self, sql: Sql) -> None:
        edited = TakeDecision(
            tenant=TENANT, id="p1", command=stores("c1"), state="approved", decided_by="user/ada", time=NOW,
            args_hash="h", new_arguments=b'{"n":2}', new_hash="h2",
        )  # fmt: skip
        first = ConsumeApproval(tenant=TENANT, task="t1", step="p1/run", args_hash="h", time=NOW)
        second = ConsumeApproval(tenant=TENANT, task="t1", step="p1/run", args_hash="h2", time=NOW)
        assert await sql.writer.commit(asks(), edited, first, second) == (None, "", False, True)
        row = await sql.reader.approval(TENANT, "p1")
        assert row is not None
        assert (row.arguments, row.args_hash, row.consumed_by) == (b'{"n":2}', "h2", "p1/run")

    async def test_approvals_are_listed_by_task_and_state(self, sql: Sql) -> None:
        await sql.writer.commit(asks("p1"), asks("p2", time=NOW + 1), asks("p3", "t2", time=NOW + 2), takes("c1"))

        async def ids(task: str = "", *, pending: bool = True, limit: int = 9) -> list[str]:
            return [one.id for one in await sql.reader.approvals(TENANT, task=task, pending=pending, limit=limit)]

        assert await ids() == ["p2", "p3"]
        assert await ids("t1") == ["p2"]
        assert await ids(pending=False) == ["p1", "p2", "p3"]
        assert await ids("t1", pending=False) == ["p1", "p2"]
        assert await ids(pending=False, limit=1) == ["p3"]
        assert await sql.reader.approvals(OTHER) == ()
