"""An agent of a user's own at its desk: hooks, health, tools by policy, models on the task's terms."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.agents.calls import EmployInput, EmployOutput, Finding, Opening, Seat, Terms
from multiagent.agents.custom import AgentAnswer, AgentTask, CustomAgent, Desk, Health, Observation
from multiagent.agents.desk import Employment
from multiagent.agents.memo import link
from multiagent.core.decision import Decision
from multiagent.core.errors import EngineUnavailable, ModelOutputInvalid, ToolError
from multiagent.core.events import EventKind
from multiagent.core.messages import says
from tests.unit.agents.stage import Info, Stage, open_stage


class Clerk:
    """Uses a tool, asks a model, and says both."""

    name = "clerk"

    def __init__(self, *, health: Health = Health()) -> None:  # noqa: B008 - frozen
        self.health = health
        self.tasks: list[AgentTask] = []
        self.seen: list[Observation] = []

    async def execute_task(self, task: AgentTask, desk: Desk) -> AgentAnswer:
        self.tasks.append(task)
        self.seen.append(await desk.use("echo", {"say": "hello"}))
        said = [await desk.ask("first"), await desk.ask("second", system="be brief")]
        return AgentAnswer(f"{self.seen[0].content} {said}")

    async def get_capabilities(self) -> list[str]:
        return ["repeats"]

    async def health_check(self) -> Health:
        return self.health


class Hooked(Clerk):
    """With both hooks."""

    async def preprocess_task(self, task: AgentTask) -> AgentTask:
        return msgspec.structs.replace(task, instruction=f"please {task.instruction}")

    async def postprocess_result(self, result: AgentAnswer) -> AgentAnswer:
        return msgspec.structs.replace(result, text=result.text.upper())


class Mute(Clerk):
    """Answers nothing."""

    async def execute_task(self, task: AgentTask, desk: Desk) -> AgentAnswer:
        return AgentAnswer(" ")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path / "home") as stage:
        yield stage


async def employed(stage: Stage, agent: CustomAgent, *tools: str) -> tuple[EmployOutput, Info]:
    info = Info(await stage.submit("the query"), "a/t1/employ")
    head, messages = link("", says("assistant", "what came before"))
    stage.asker.store("local", *messages)
    stage.asker.chains.keep("local", head, messages)
    opening = Opening("Title", "do it", 8, (Finding("t0", "Before", head),))
    given = EmployInput("clerk", Seat("t1", tools), Terms("small"), opening)
    return await Employment(stage.asker, {"clerk": agent}).employ(info, given), info


@pytest.mark.requirement("S.agents.custom")
async def test_it_is_told_its_task_and_its_answer_is_kept(stage: Stage) -> None:
    clerk = Clerk()
    output, info = await employed(stage, clerk, "echo")
    (task,) = clerk.tasks
    assert (task.id, task.title, task.instruction, task.query) == ("t1", "Title", "do it", "the query")
    assert [one.text for one in task.inputs] == ["what came before"]
    assert await stage.asker.chains.text("local", output.head) == "{\"say\":\"hello\"} ['done', 'done']"
    assert output.calls == 1
    kinds = [kind for kind, _ in info.events]
    assert kinds == [
        EventKind.TOOL_CHECKED, EventKind.TOOL_COMPLETED, EventKind.MESSAGE_COMPLETED, EventKind.MESSAGE_COMPLETED,
    ]  # fmt: skip


async def test_each_question_has_a_key_of_its_own_and_is_on_the_tasks_terms(stage: Stage) -> None:
    output, info = await employed(stage, Clerk(), "echo")
    assert [call.key for _, call in stage.gate.asked] == [f"{info.task}/a/t1/employ/ask/{n}" for n in (1, 2)]
    assert {call.principal.agent for _, call in stage.gate.asked} == {"t1"}
    assert [message.role for message in stage.gate.asked[1][0].messages] == ["system", "user"]
    assert len(output.spent) == 2


async def test_the_hooks_run_before_and_after_its_work(stage: Stage) -> None:
    hooked = Hooked()
    output, _ = await employed(stage, hooked, "echo")
    assert hooked.tasks[0].instruction == "please do it"
    assert (await stage.asker.chains.text("local", output.head)).startswith('{"SAY"')


async def test_policy_has_the_last_word_on_its_tools(stage: Stage) -> None:
    clerk = Clerk()
    stage.decisions.append(Decision(allow=False, reasons=("not today",)))
    _, info = await employed(stage, clerk, "echo")
    assert clerk.seen == [Observation("not today", True)]
    assert info.events[0][0] is EventKind.TOOL_DENIED
    assert stage.echo.contexts == []


async def test_a_call_that_needs_a_persons_word_is_refused_at_a_desk(stage: Stage) -> None:
    clerk = Clerk()
    stage.decisions.append(Decision(allow=True, obligations=("approve",)))
    await employed(stage, clerk, "echo")
    assert clerk.seen[0].is_error
    assert "person's approval" in clerk.seen[0].content


async def test_it_has_only_the_tools_of_its_task(stage: Stage) -> None:
    clerk = Clerk()
    output, _ = await employed(stage, clerk)
    assert clerk.seen == [Observation("there is no tool 'echo' here; there are none", True)]
    assert output.calls == 0


async def test_an_unhealthy_agent_is_not_begun(stage: Stage) -> None:
    clerk = Clerk(health=Health(healthy=False, message="its database is down"))
    with pytest.raises(ToolError, match="its database is down"):
        await employed(stage, clerk, "echo")
    assert clerk.tasks == []


async def test_an_agent_that_is_not_here_or_says_nothing_is_an_error(stage: Stage) -> None:
    with pytest.raises(ModelOutputInvalid, match="gave no answer"):
        await employed(stage, Mute(), "echo")
    info = Info(await stage.submit("the query"), "a/t1/employ")
    with pytest.raises(EngineUnavailable, match="--load"):
        await Employment(stage.asker, {}).employ(
            info, EmployInput("clerk", Seat("t1"), Terms("small"), Opening("T", "i", 8))
        )
