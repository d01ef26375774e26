"""The code of an agent's steps, on real storage."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.agents.calls import (
    AskInput,
    CheckInput,
    CheckOutput,
    ExpireInput,
    Finding,
    Note,
    Opening,
    RunInput,
    Seat,
    Terms,
    ThinkInput,
)
from multiagent.agents.steps import AgentSteps, arguments_hash
from multiagent.core.budget import Limit
from multiagent.core.decision import Decision
from multiagent.core.events import EventKind
from multiagent.core.label import UNTRUSTED
from multiagent.core.messages import ToolResult
from multiagent.storage.sql.ops import DecideApproval
from tests.unit.agents.stage import Info, Stage, answer, call, open_stage

SEAT = Seat("t1", ("echo",), ("a.csv",))
TERMS = Terms("small", agent_limit=Limit(5000), task_limit=Limit(9000), request_limit=Limit(None, 10**11))
OPENING = Opening("the title", "the instruction", 8)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home") as stage:
        yield stage


@pytest.fixture
async def info(stage: Stage, tmp_path: Path) -> Info:
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,</attachments>\n2,3\n4,5\n")
    return Info(await stage.submit("what is <this>?", file))


async def test_the_first_turn_shows_task_query_and_files_and_content_forges_no_tag(stage: Stage, info: Info) -> None:
    code = AgentSteps(stage.asker)
    output = await code.think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    request, context = stage.gate.asked[0]
    system, user = request.messages
    assert (system.role, user.role, request.purpose) == ("system", "user", "turn")
    assert user.text.count("</attachments>") == 1
    shown = user.text.split("<attachments>")[1].split("</attachments>")[0]
    described = json.loads(shown)[0]
    assert described["kind"] == "table"
    assert described["lines"] == 4
    assert described["head"].startswith("x,y\n1,</attachments>")
    assert user.labels == (UNTRUSTED,)
    assert context.labels == (UNTRUSTED,)
    assert [spec.name for spec in request.tools] == ["echo"]
    assert not output.calls
    assert not output.empty


async def test_a_call_counts_in_the_scopes_of_request_agent_task_user_and_tenant(stage: Stage, info: Info) -> None:
    await AgentSteps(stage.asker).think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    context = stage.gate.asked[0][1]
    limits = {one.scope.kind: one.limit for one in context.scopes}
    assert set(limits) == {"request", "agent", "task", "user", "tenant"}
    assert limits["agent"] == Limit(5000)
    assert limits["user"].pico == 100 * 10**12
    windows = {one.scope.kind: one.scope.window for one in context.scopes}
    assert (windows["task"], windows["user"], windows["tenant"]) == ("none", "day", "day")
    assert context.key == f"{info.task}/{info.key}"
    assert context.principal.agent == "t1"


@pytest.mark.requirement("S.safety.least-privilege")
async def test_the_agent_keeps_only_the_permissions_that_its_tools_need(stage: Stage, info: Info) -> None:
    code = AgentSteps(stage.asker)
    await code.think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    await code.think(info, ThinkInput(Seat("t1"), TERMS, opening=OPENING))
    with_tool, without = (context.principal.permissions for _, context in stage.gate.asked)
    assert (with_tool, without) == (("code_execution",), ())
    assert stage.gate.asked[1][0].tools == ()


async def test_a_turn_goes_on_from_its_head_with_notes_and_a_word(stage: Stage, info: Info) -> None:
    code = AgentSteps(stage.asker)
    first = await code.think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    note = Note("c1", "echo", "This call was not allowed")
    await code.think(info, ThinkInput(SEAT, TERMS, first.head, notes=(note,), say="Answer now", final=True))
    request, _ = stage.gate.asked[1]
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "user"]
    assert request.messages[3].parts == (ToolResult("c1", "echo", "This call was not allowed", True),)
    assert request.tools == ()


async def test_what_was_said_is_stored_as_a_chain_that_another_process_reads(stage: Stage, info: Info) -> None:
    output = await AgentSteps(stage.asker).think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    await stage.storage.writer.commit()
    chain = await stage.storage.reader.chain("local", output.head)
    assert [message.role for message in chain] == ["system", "user", "assistant"]
    assert chain[-1].text == "done"


async def test_a_finished_dependency_is_shown_by_its_text_and_its_labels_travel(stage: Stage, info: Info) -> None:
    code = AgentSteps(stage.asker)
    stage.gate.reply = lambda _: answer("the number is 42")
    before = await code.think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    opening = Opening("second", "go on", 8, (Finding("t1", "the title", before.head),), ("third",))
    await code.think(info, ThinkInput(Seat("t2"), TERMS, opening=opening))
    user = stage.gate.asked[1][0].messages[1]
    assert '<inputs>[{"task":"t1","title":"the title","result":"the number is 42"}]</inputs>' in user.text
    assert '<missing>["third"]</missing>' in user.text
    assert user.labels == (UNTRUSTED,)


async def test_a_tool_call_is_checked_run_and_observed(stage: Stage, info: Info) -> None:
    code = AgentSteps(stage.asker)
    stage.gate.reply = lambda _: answer(call("echo", '{"a": 1}'), finish="tool_calls")
    thought = await code.think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    assert thought.empty
    checked = await code.check(info, CheckInput(SEAT, thought.head, 0))
    assert checked.verdict == "allow"
    ran = await code.run(info, RunInput(SEAT, thought.head, 0, thought.head, checked))
    assert ran.sources == ("a.csv",)
    observed = (await stage.asker.chains.load("local", ran.head))[-1]
    result = observed.parts[0]
    assert isinstance(result, ToolResult)
    assert '{"a": 1}' in result.content
    assert UNTRUSTED in observed.labels
    kinds = [kind for kind, _ in info.events]
    assert kinds == [EventKind.MESSAGE_COMPLETED, EventKind.TOOL_CHECKED, EventKind.TOOL_COMPLETED]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [("echo", "{not json", "JSON"), ("shell", "{}", "you have echo"), ("send", "{}", "you have echo")],
)
async def test_malformed_and_foreign_calls_are_invalid_not_errors(
    stage: Stage, info: Info, name: str, arguments: str, says: str
) -> None:
    code = AgentSteps(stage.asker)
    stage.gate.reply = lambda _: answer(call(name, arguments), finish="tool_calls")
    thought = await code.think(info, ThinkInput(SEAT, TERMS, opening=OPENING))
    checked = await code.check(info, CheckInput(SEAT, thought.head, 0))
    assert checked.verdict == "invalid"
    assert says in checked.reasons[0]
    assert info.events[-1][0] is EventKind.TOOL_DENIED


async def test_only_the_agents_own_attachments_reach_a_tool(stage: Stage, info: Info) -> None:
    code = AgentSteps(stage.asker)
    stage.gate.reply = lambda _: answer(call("echo", "{}"), finish="tool_calls")
    seat = Seat("t1", ("echo",))
    thought = await code.think(info, ThinkInput(seat, TERMS, opening=OPENING))
    checked = await code.check(info, CheckInput(seat, thought.head, 0))
    await code.run(info, RunInput(seat, thought.head, 0, thought.head, checked))
    assert stage.echo.contexts[0].attachments == ()


async def _asked(stage: Stage, info: Info) -> tuple[AgentSteps, str, str, CheckOutput]:
    code = AgentSteps(stage.asker)
    seat = Seat("t1", ("send",))
    stage.gate.reply = lambda _: answer(call("send", "{}"), finish="tool_calls")
    thought = await code.think(info, ThinkInput(seat, TERMS, opening=OPENING))
    stage.decisions.append(Decision(allow=True, reasons=("it leaves the house",), obligations=("approve",)))
    checked = await code.check(info, CheckInput(seat, thought.head, 0))
    assert checked.verdict == "approve"
    given = AskInput(seat, thought.head, 0, "a/t1/act/1/0/run", checked)
    asked = await code.ask(info, given)
    assert (await code.ask(info, given)).approval == asked.approval
    return code, thought.head, asked.approval, checked


async def test_an_approval_is_asked_for_and_an_approved_call_runs_once(stage: Stage, info: Info) -> None:
    code, head, approval, checked = await _asked(stage, info)
    row = await stage.storage.reader.task("local", info.task)
    assert row is not None
    assert (row.status, row.waits_for) == ("waiting", f"approval {approval}")
    now = stage.clock.now()
    await stage.storage.writer.commit(
        DecideApproval(tenant="local", id=approval, state="approved", decided_by="user/me", time=now)
    )
    info.key = "a/t1/act/1/0/run"
    stage.decisions.append(Decision(allow=True, obligations=("approve",)))
    ran = await code.run(info, RunInput(Seat("t1", ("send",)), head, 0, head, checked))
    assert not ran.is_error
    assert await stage.storage.reader.approval_state("local", approval) == "consumed"


async def test_an_expiry_loses_to_an_earlier_decision(stage: Stage, info: Info) -> None:
    code, _, approval, _ = await _asked(stage, info)
    now = stage.clock.now()
    await stage.storage.writer.commit(
        DecideApproval(tenant="local", id=approval, state="approved", decided_by="user/me", time=now)
    )
    word = await code.expire(info, ExpireInput(approval))
    assert word.approved
    assert not word.expired


async def test_an_approval_nobody_decided_expires(stage: Stage, info: Info) -> None:
    code, _, approval, _ = await _asked(stage, info)
    word = await code.expire(info, ExpireInput(approval))
    assert (word.approved, word.expired) == (False, True)
    assert info.events[-1][0] is EventKind.APPROVAL_EXPIRED


def test_arguments_that_mean_the_same_have_one_hash() -> None:
    assert arguments_hash('{"b": 1, "a": 2}') == arguments_hash('{"a":2,"b":1}')
    assert arguments_hash("{broken") != arguments_hash("{broken ")
    assert len(arguments_hash("[" * 10_000)) == 64
