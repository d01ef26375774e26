"""The code of the task's own steps, on real storage."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.calls import AgentResult, Opening, Seat, Terms, ThinkInput
from multiagent.agents.render import ShownAgent
from multiagent.agents.steps import AgentSteps
from multiagent.core.task import TaskResult
from multiagent.core.usage import Bill, Usage
from multiagent.llm.base import Answer, ModelRequest
from multiagent.orchestrator.calls import AnalyzeInput, DecomposeInput, FinishInput, PartRef, SynthesizeInput
from multiagent.orchestrator.steps import TaskSteps
from tests.unit.agents.stage import Info, Stage, answer, open_stage

TERMS = Terms("small")
GOOD = json.dumps({"reason": "r", "tasks": [{"id": "t1", "title": "T", "instruction": "I", "tools": ["echo"]}]})


def reply(request: ModelRequest) -> Answer:
    return answer({"decompose": "no plan, sorry", "repair": GOOD}.get(request.purpose, "the text"))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home", reply) as stage:
        yield stage


@pytest.fixture
async def info(stage: Stage) -> Info:
    return Info(await stage.submit("compare the files"), "analyze")


async def test_analyze_scores_the_query_and_sets_the_tasks_mode(stage: Stage, info: Info) -> None:
    output = await TaskSteps(stage.asker).analyze(info, AnalyzeInput(0.0, 0.7))
    assert (output.mode, output.tools) == ("standard", ("echo",))
    row = await stage.storage.reader.task("local", info.task)
    assert row is not None
    assert (row.status, row.mode) == ("running", "standard")


async def test_a_bad_plan_is_an_output_and_its_repair_sees_the_answer_and_the_error(stage: Stage, info: Info) -> None:
    code = TaskSteps(stage.asker)
    bad = await code.decompose(info, DecomposeInput(TERMS, 12, ("echo",)))
    assert bad.plan is None
    assert "not JSON" in bad.error
    good = await code.decompose(info, DecomposeInput(TERMS, 12, ("echo",), bad.head, bad.error))
    assert good.plan is not None
    request = stage.gate.asked[1][0]
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.messages[2].text == "no plan, sorry"
    assert request.messages[3].text.startswith("<error>")
    assert request.purpose == "repair"


async def test_the_planner_is_told_the_query_the_tools_and_the_limit(stage: Stage, info: Info) -> None:
    await TaskSteps(stage.asker).decompose(info, DecomposeInput(TERMS, 7, ("echo",)))
    request = stage.gate.asked[0][0]
    text = request.messages[1].text
    assert '<query>"compare the files"</query>' in text
    assert '<tools>[{"name":"echo","description":"says its arguments"}]</tools>' in text
    assert '<limits>{"max_tasks":7}</limits>' in text
    assert request.response_format is not None
    assert request.response_format.name == "plan"


async def _head(stage: Stage, info: Info) -> str:
    thought = await AgentSteps(stage.asker).think(info, ThinkInput(Seat("t1"), TERMS, opening=Opening("T", "I", 8)))
    return thought.head


async def test_the_synthesis_sees_texts_statuses_sources_and_what_is_missing(stage: Stage, info: Info) -> None:
    head = await _head(stage, info)
    parts = (PartRef("t1", "T", "completed", head, ("a.csv",)), PartRef("t2", "U", "failed"))
    output = await TaskSteps(stage.asker).synthesize(info, SynthesizeInput(TERMS, parts, ("U: it broke",)))
    text = stage.gate.asked[-1][0].messages[1].text
    assert '"status":"completed","result":"the text","sources":["a.csv"]' in text
    assert '<missing>["U: it broke"]</missing>' in text
    assert not output.empty


async def test_finish_writes_the_result_with_its_sources_and_a_row_for_each_agent(stage: Stage, info: Info) -> None:
    head = await _head(stage, info)
    agents = (
        AgentResult("t1", "T", "completed", head, ("a.csv",), Bill(Usage(10, 5), 7, tool_calls=2), ("fake-small",)),
        AgentResult("t2", "U", "failed", code="VENDOR_FAILED", message="it broke"),
    )
    given = FinishInput("completed", "standard", "", agents, 3, ("fake-small",), stage.clock.now(), True, ("U",))
    result = await TaskSteps(stage.asker).finish(info, given)
    assert result.text == "the text"
    assert [(one.name, one.used_by) for one in result.sources] == [("a.csv", ("t1",))]
    assert (result.bill.model_calls, result.bill.tool_calls) == (3, 2)
    row = await stage.storage.reader.task("local", info.task)
    assert row is not None
    assert msgspec.json.decode(row.result, type=TaskResult) == result
    assert row.status == "queued"
    rows = await stage.storage.reader.agents("local", info.task)
    assert [(one.agent, one.status, one.result) for one in rows] == [
        ("t1", "completed", "the text"),
        ("t2", "failed", "it broke"),
    ]


async def test_without_a_synthesis_the_finished_answers_stand_side_by_side(stage: Stage, info: Info) -> None:
    head = await _head(stage, info)
    agents = tuple(AgentResult(name, name.upper(), "completed", head) for name in ("t1", "t2"))
    given = FinishInput("failed", "standard", "", agents, 3, (), 0, True, (), "BUDGET_EXCEEDED", "used up")
    result = await TaskSteps(stage.asker).finish(info, given)
    assert result.text == "## T1\n\nthe text\n\n## T2\n\nthe text"
    row = await stage.storage.reader.task("local", info.task)
    assert row is not None
    assert row.error is not None
    assert row.error.code == "BUDGET_EXCEEDED"


async def test_a_planner_is_told_of_the_users_own_agents_and_may_name_them(stage: Stage, info: Info) -> None:
    task = {"id": "t1", "title": "T", "instruction": "I", "tools": [], "agent": "auditor"}
    plan = json.dumps({"reason": "r", "tasks": [task]})
    stage.gate.reply = lambda _: answer(plan)
    code = TaskSteps(stage.asker, (ShownAgent("auditor", ("audits ledgers",)),))
    output = await code.decompose(info, DecomposeInput(TERMS, 12, ()))
    assert output.plan is not None
    assert output.plan.tasks[0].agent == "auditor"
    request = stage.gate.asked[0][0]
    assert '<agents>[{"name":"auditor","capabilities":["audits ledgers"]}]</agents>' in request.messages[1].text
    assert request.response_format is not None
    schema = json.loads(request.response_format.schema)["properties"]["tasks"]["items"]
    assert "agent" in schema["properties"]
    assert "agent" in schema["required"]


async def test_a_planner_may_name_only_agents_that_there_are(stage: Stage, info: Info) -> None:
    task = {"id": "t1", "title": "T", "instruction": "I", "agent": "nobody"}
    stage.gate.reply = lambda _: answer(json.dumps({"reason": "r", "tasks": [task]}))
    given = DecomposeInput(TERMS, 12, ())
    refused = await TaskSteps(stage.asker, (ShownAgent("auditor", ()),)).decompose(info, given)
    assert refused.plan is None
    assert "'nobody', which does not exist; choose from auditor" in refused.error
    ignored = await TaskSteps(stage.asker).decompose(info, given)
    assert ignored.plan is not None
    assert ignored.plan.tasks[0].agent == ""
