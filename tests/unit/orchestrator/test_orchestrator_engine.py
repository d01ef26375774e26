"""Whole tasks on the embedded engine: real storage, real steps, a scripted model."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.calls import Word
from multiagent.core.decision import Decision as Verdict
from multiagent.core.errors import BudgetExceeded, VendorRejected
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentEnded, ApprovalAsked
from multiagent.core.task import TaskResult
from multiagent.core.usage import Usage
from multiagent.llm.base import Answer, ModelRequest
from multiagent.orchestrator.approvals import Approvals, Decision
from multiagent.orchestrator.workflows import TASK
from multiagent.testing.replayed import Register
from tests.unit.agents.stage import USER, answer, call
from tests.unit.orchestrator.task_house import PLAN, QUERY, good, open_house


async def test_a_task_runs_from_query_to_answer_and_replays(tmp_path: Path, register: Register) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,2\n3,4\n5,6\n")
    async with open_house(tmp_path / "home", register) as house:
        task = await house.begin(QUERY, file)
        ended = await house.engine.result("local", task)
        result = msgspec.json.decode(ended.value, type=TaskResult)
        assert result.text == "the synthesize answer"
        assert not result.partial
        row = await house.row(task)
        assert (row.status, row.mode) == ("completed", "complex")
        assert msgspec.json.decode(row.result, type=TaskResult) == result
        agents = await house.stage.storage.reader.agents("local", task)
        assert [(one.agent, one.status, one.tool_calls) for one in agents] == [
            ("both", "completed", 0),
            ("north", "completed", 1),
            ("south", "completed", 1),
        ]
        again = await house.engine.replay("local", task)
        assert (again.status, again.value) == (ended.status, ended.value)


@pytest.mark.requirement("S.safety.audit")
async def test_events_are_numbered_without_gaps_and_tell_the_story_in_order(tmp_path: Path, register: Register) -> None:
    async with open_house(tmp_path, register) as house:
        task = await house.begin()
        await house.engine.result("local", task)
        events = await house.events(task)
    assert [event.header.seq for event in events] == list(range(1, len(events) + 1))
    story = [event.header.kind for event in events if not event.header.kind.startswith(("step.", "message.", "tool."))]
    assert story[:4] == [
        EventKind.TASK_SUBMITTED,
        EventKind.TASK_STARTED,
        EventKind.TASK_ANALYZED,
        EventKind.TASK_PLANNED,
    ]
    assert story[-1] is EventKind.TASK_COMPLETED
    assert story.index(EventKind.SYNTHESIS_STARTED) > story.index(EventKind.AGENT_COMPLETED)


async def test_a_call_waits_for_a_person_and_runs_once_they_agree(tmp_path: Path, register: Register) -> None:
    async with open_house(tmp_path, register) as house:
        need = Verdict(allow=True, reasons=("it leaves the house",), obligations=("approve",))
        house.stage.decisions.extend([need, need])
        task = await house.begin("2 + 2")
        asked = await house.until(task, EventKind.APPROVAL_REQUESTED)
        approval = msgspec.json.decode(asked.payload, type=ApprovalAsked).approval
        assert (await house.row(task)).status == "waiting"
        approvals = Approvals(house.stage.storage.writer, house.stage.storage.reader, house.stage.clock)
        await approvals.decide(USER, "c1", task, Decision(approval, Word(approved=True)))
        await house.dispatcher.deliver()
        ended = await house.engine.result("local", task)
        assert ended.status == "completed"
        assert await house.stage.storage.reader.approval_state("local", approval) == "consumed"
        assert len(house.stage.echo.contexts) == 1


async def test_a_cancelled_task_ends_cancelled_with_its_last_event(tmp_path: Path, register: Register) -> None:
    async with open_house(tmp_path, register) as house:
        house.stage.gate.hold = asyncio.Event()
        task = await house.begin("2 + 2")
        await house.until(task, EventKind.AGENT_STARTED)
        await house.stage.service.cancel(USER, task, "enough")
        await house.dispatcher.deliver()
        ended = await house.engine.result("local", task)
        assert ended.status == "cancelled"
        assert (await house.events(task))[-1].header.kind is EventKind.TASK_CANCELLED
        assert (await house.row(task)).status == "cancelled"


async def test_an_agent_at_work_when_its_task_is_cancelled_has_its_row_and_its_bill_so_far(
    tmp_path: Path, register: Register
) -> None:
    thinking_again = asyncio.Event()
    async with open_house(tmp_path, register) as house:

        def holding(request: ModelRequest) -> Answer:
            if any(one.role == "tool" for one in request.messages):
                house.stage.gate.hold = asyncio.Event()
                thinking_again.set()
            return good(request)

        house.stage.gate.reply = holding
        task = await house.begin("2 + 2")
        await house.until(task, EventKind.TOOL_COMPLETED)
        await asyncio.wait_for(thinking_again.wait(), 30)
        await house.stage.service.cancel(USER, task, "enough")
        await house.dispatcher.deliver()
        assert (await house.engine.result("local", task)).status == "cancelled"
        (agent,) = await house.stage.storage.reader.agents("local", task)
        assert (agent.status, agent.usage, agent.cost_pico) == ("cancelled", Usage(10, 5), 1000)
        assert (agent.tool_calls, agent.result) == (1, "it was cancelled at its work")
        ended = await house.until(task, EventKind.AGENT_CANCELLED)
        assert msgspec.json.decode(ended.payload, type=AgentEnded).tokens == 15


@pytest.mark.requirement("S.reliability.durable")
async def test_a_task_goes_on_where_a_closed_process_left_it(tmp_path: Path, register: Register) -> None:
    """The plan and the answers that were committed are not asked for again."""
    async with open_house(tmp_path, register) as house:

        def first(request: ModelRequest) -> Answer:
            if "look south" in request.messages[1].text:
                house.stage.gate.hold = asyncio.Event()
            return good(request)

        house.stage.gate.reply = first
        task = await house.begin()
        await house.until(task, EventKind.MESSAGE_COMPLETED)
        await house.until(task, EventKind.AGENT_STARTED)
    async with open_house(tmp_path, register) as house:
        assert await house.engine.recover() == (task,)
        ended = await house.engine.result("local", task)
        assert msgspec.json.decode(ended.value, type=TaskResult).text == "the synthesize answer"
        assert "decompose" not in [request.purpose for request, _ in house.stage.gate.asked]
        register.start(str(tmp_path), task)
        reader, objects = house.stage.storage.reader, house.stage.storage.objects
        await register.record(str(tmp_path), task, reader, objects, TASK, "local")


async def test_when_the_synthesis_cannot_be_paid_the_finished_answers_stand_in_the_failed_task(
    tmp_path: Path, register: Register
) -> None:
    def poor(request: ModelRequest) -> Answer:
        if request.purpose == "synthesize":
            raise BudgetExceeded("the budget of the task is used up", details={"scope": "task"})
        return good(request)

    async with open_house(tmp_path, register, poor) as house:
        task = await house.begin()
        ended = await house.engine.result("local", task)
        row = await house.row(task)
    assert (ended.status, ended.code) == ("failed", "BUDGET_EXCEEDED")
    assert row.status == "failed"
    result = msgspec.json.decode(row.result, type=TaskResult)
    assert result.partial
    assert result.text.count("the turn answer") == 3


async def test_a_vendor_that_refuses_one_agent_leaves_a_partial_answer(tmp_path: Path, register: Register) -> None:
    def picky(request: ModelRequest) -> Answer:
        if request.purpose == "turn" and "look south" in request.messages[1].text:
            raise VendorRejected("no south", details={"vendor": "fake"})
        return good(request)

    async with open_house(tmp_path, register, picky) as house:
        task = await house.begin()
        ended = await house.engine.result("local", task)
    result = msgspec.json.decode(ended.value, type=TaskResult)
    assert result.partial
    assert result.missing == ("South: no south",)


@pytest.mark.parametrize("noise", ["", "no plan", '{"tasks": []}', PLAN.replace("north", "south")])
async def test_a_model_that_never_plans_well_still_answers_degraded(
    tmp_path: Path, register: Register, noise: str
) -> None:
    def bad(request: ModelRequest) -> Answer:
        return answer(noise) if request.purpose in ("decompose", "repair") else good(request)

    async with open_house(tmp_path, register, bad) as house:
        task = await house.begin()
        ended = await house.engine.result("local", task)
        kinds = [event.header.kind for event in await house.events(task)]
    assert ended.status == "completed"
    assert EventKind.TASK_DEGRADED in kinds


async def test_an_agent_that_only_writes_malformed_calls_ends_within_its_turns(
    tmp_path: Path, register: Register
) -> None:
    def babble(request: ModelRequest) -> Answer:
        return answer(call("echo", f"{{broken {len(request.messages)}"), finish="tool_calls")

    async with open_house(tmp_path, register, babble) as house:
        task = await house.begin("2 + 2")
        ended = await house.engine.result("local", task)
        assert (ended.status, ended.code) == ("failed", "MODEL_OUTPUT_INVALID")
        assert len(house.stage.gate.asked) == 8
