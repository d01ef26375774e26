"""Taking what other processes left in the inbox."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.recheck import Rechecker
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.orchestrator.approvals import Approvals
from multiagent.orchestrator.handover import Handover, Host
from multiagent.orchestrator.intake import Files, Intake
from multiagent.storage.factory import open_inbox
from multiagent.storage.sql.base import CommandRow, CommandState, Inbox
from tests.unit.agents.stage import USER, Stage, open_stage


@dataclass
class Door:
    """A stage with its inbox and the owner's end of it."""

    stage: Stage
    inbox: Inbox
    intake: Intake

    async def leave(self, identity: str, kind: str, task: str, payload: bytes, principal: Principal = USER) -> None:
        row = CommandRow("local", identity, task, kind, payload, msgspec.json.encode(principal), 1)
        await self.inbox.put(row)

    async def submit(self, identity: str, **given: object) -> None:
        await self.leave(identity, "submit", identity, msgspec.json.encode(Handover(**{"query": "q", **given})))  # type: ignore[arg-type]

    async def state(self, identity: str) -> CommandState:
        state = await self.stage.storage.reader.command("local", identity)
        assert state is not None
        return state


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_stage(tmp_path / "home") as stage, open_inbox(tmp_path / "home") as inbox:
        host = Host(7, frozenset({"openai"}), "policy-1")
        files = Files(inbox, stage.storage.writer, stage.storage.reader)
        approvals = Approvals(stage.storage.writer, stage.storage.reader, stage.clock, Rechecker(stage.asker))
        yield Door(stage, inbox, Intake(files, stage.service, approvals, stage.clock, host))


async def test_a_handed_task_is_accepted_under_its_id_and_the_owners_policy(door: Door) -> None:
    await door.submit("t1", settings=TaskSettings(max_agents=2), parent="t0")
    assert await door.intake.take() == 1
    row = await door.stage.storage.reader.task("local", "t1")
    assert row is not None
    assert (row.status, row.query, row.parent_id) == ("queued", "q", "t0")
    given = await door.stage.input("t1")
    assert (given.settings.max_agents, given.settings.policy_version) == (2, "policy-1")
    assert await door.inbox.waiting() == ()


async def test_what_was_taken_before_is_taken_again_without_effect(door: Door) -> None:
    for _ in range(2):
        await door.submit("t1")
        await door.leave("c1", "cancel", "t1", b"enough")
        await door.intake.take()
    assert len(await door.stage.storage.reader.tasks("local")) == 1
    assert [command.id for command in await door.stage.storage.reader.commands()] == ["c1", "t1"]
    assert len(await door.stage.storage.reader.events("local", "t1")) == 1


async def test_an_idempotency_key_leads_to_the_task_that_stands(door: Door) -> None:
    await door.submit("t1", idempotency_key="k")
    await door.submit("t2", idempotency_key="k")
    await door.intake.take()
    assert [row.id for row in await door.stage.storage.reader.tasks("local")] == ["t1"]
    second = await door.state("t2")
    assert (second.task, second.error) == ("t1", "")
    assert second.delivered is not None


async def test_a_task_that_needs_a_key_this_process_lacks_is_refused(door: Door) -> None:
    await door.submit("t1", vendors=("openai", "other"))
    await door.intake.take()
    assert await door.stage.storage.reader.task("local", "t1") is None
    error = (await door.state("t1")).error
    assert error.startswith("ENGINE_OWNED")
    assert "other" in error
    assert "openai" not in error


@pytest.mark.parametrize(
    ("payload", "principal", "word"),
    [(b"{", USER, "another version"), (b'{"query":"q"}', Principal("other", "user"), "another's name")],
)
async def test_what_cannot_be_read_or_is_anothers_is_refused(
    door: Door, payload: bytes, principal: Principal, word: str
) -> None:
    await door.leave("t1", "submit", "t1", payload, principal)
    await door.intake.take()
    assert await door.stage.storage.reader.task("local", "t1") is None
    assert word in (await door.state("t1")).error
    assert await door.inbox.waiting() == ()
