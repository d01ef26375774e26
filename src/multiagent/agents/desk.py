"""The step in which an agent of a user's own works, and the desk it works at."""

from collections.abc import Mapping
from typing import Final

import msgspec

from multiagent.agents.asking import Asker, Question
from multiagent.agents.calls import EMPLOY, EmployInput, EmployOutput, Spent
from multiagent.agents.custom import (
    AgentAnswer,
    AgentInput,
    AgentTask,
    CustomAgent,
    Observation,
    Postprocessing,
    Preprocessing,
)
from multiagent.agents.memo import link
from multiagent.agents.render import clip
from multiagent.agents.steps import ANSWER_CHARS, OBSERVATION_CHARS, Steps, acting
from multiagent.core.errors import EngineUnavailable, ModelOutputInvalid, ToolError
from multiagent.core.events import EventKind
from multiagent.core.facts import ToolChecked, ToolEnded
from multiagent.core.label import Labels, join
from multiagent.core.messages import Message, says
from multiagent.core.task import TaskInput
from multiagent.engines.base import Step, StepInfo
from multiagent.tools.base import ToolContext, ToolRequest

NEEDS_WORD: Final = (
    "this call needs a person's approval, which an agent of your own cannot wait for; give the task to ours"
)


def employ_steps(asker: Asker, agents: Mapping[str, CustomAgent]) -> Steps:
    """Return the step of queue ``agent`` in which the agents of these names work."""
    return (Step(EMPLOY, Employment(asker, agents).employ),)


class Employment:
    """The code of the step, over the ports."""

    def __init__(self, asker: Asker, agents: Mapping[str, CustomAgent]) -> None:
        self._asker = asker
        self._agents = agents

    async def employ(self, info: StepInfo, given: EmployInput) -> EmployOutput:
        """Have the task done, hooks included.

        Raises EngineUnavailable where there is no such agent: the step waits for a process that has it, until its
        deadline. Raises ToolError where it is not healthy, and whatever it raises.
        """
        agent = self._agents.get(given.agent)
        if agent is None:
            known = ", ".join(self._agents) or "none"
            raise EngineUnavailable(
                f"there is no agent {given.agent!r} in this process, only {known}; it waits for one that has: "
                "multiagent tasks follow TASK --load module:name"
            )
        health = await agent.health_check()
        if not health.healthy:
            raise ToolError(f"the agent {given.agent} is not healthy: {health.message or 'it does not say why'}")
        task = await self._asker.tasks.load(info.tenant, info.task)
        desk = Seated(self._asker, info, task, given)
        asked, labels = await self._asked(info, task, given)
        desk.labels = labels
        if isinstance(agent, Preprocessing):
            asked = await agent.preprocess_task(asked)
        answer: object = await agent.execute_task(asked, desk)
        if isinstance(agent, Postprocessing) and isinstance(answer, AgentAnswer):
            answer = await agent.postprocess_result(answer)
        if not isinstance(answer, AgentAnswer) or not answer.text.strip():
            raise ModelOutputInvalid(f"the agent {given.agent} gave no answer; it must return an AgentAnswer with text")
        return self._kept(info, desk, asked, answer)

    async def _asked(self, info: StepInfo, task: TaskInput, given: EmployInput) -> tuple[AgentTask, Labels]:
        inputs: list[AgentInput] = []
        labels = [one.labels for one in task.attachments if one.name in given.seat.attachments]
        for one in given.opening.inputs:
            chain = await self._asker.chains.load(info.tenant, one.head)
            inputs.append(AgentInput(one.task, one.title, clip(chain[-1].text, ANSWER_CHARS)))
            labels.append(chain[-1].labels)
        seat, opening = given.seat, given.opening
        asked = AgentTask(
            seat.agent, opening.title, opening.instruction, task.query, tuple(inputs), seat.attachments, seat.tools
        )
        return asked, join(*labels)

    def _kept(self, info: StepInfo, desk: "Seated", asked: AgentTask, answer: AgentAnswer) -> EmployOutput:
        """Store what was asked and answered as a conversation, so that all who read answers find it."""
        said = Message("assistant", says("assistant", answer.text).parts, labels=desk.labels)
        head, messages = link("", says("user", asked.instruction), said)
        self._asker.store(info.tenant, *messages)
        self._asker.chains.keep(info.tenant, head, messages)
        sources = tuple(dict.fromkeys((*desk.sources, *answer.sources)))
        return EmployOutput(head, tuple(desk.spent), sources, desk.calls)


class Seated:
    """One agent's desk in one run of the step (``custom.Desk``). ``labels`` are those of all that it has seen."""

    def __init__(self, asker: Asker, info: StepInfo, task: TaskInput, given: EmployInput) -> None:
        self._asker = asker
        self._info = info
        self._task = task
        self._given = given
        self._questions = 0
        self.calls = 0
        self.labels: Labels = ()
        self.spent: list[Spent] = []
        self.sources: list[str] = []

    async def ask(self, prompt: str, system: str = "") -> str:
        """See ``custom.Desk``."""
        self._questions += 1
        part = Part(self._info, f"{self._info.key}/ask/{self._questions}")
        said = (says("system", system),) if system else ()
        specs = self._asker.ports.runner.specs(self._task.principal, self._given.seat.tools)
        question = Question(
            "chat",
            self._given.terms,
            (*said, says("user", prompt, labels=self.labels)),
            agent=self._given.seat.agent,
            principal=acting(self._task, self._given.seat, specs if self._given.seat.tools else ()),
        )
        asked = await self._asker.ask(part, self._task, question)
        self.spent.append(asked.spent)
        return asked.message.text

    async def use(self, tool: str, arguments: dict[str, object]) -> Observation:
        """See ``custom.Desk``."""
        seat = self._given.seat
        if tool not in seat.tools:
            return Observation(f"there is no tool {tool!r} here; there are {', '.join(seat.tools) or 'none'}", True)
        self.calls += 1
        runner, key = self._asker.ports.runner, f"{self._info.key}/use/{self.calls}"
        files = tuple(one for one in self._task.attachments if one.name in seat.attachments)
        principal = acting(self._task, seat, runner.specs(self._task.principal, seat.tools))
        context = ToolContext(principal, self._info.task, key, files, self._info.deadline, self.labels)
        request = ToolRequest(tool, msgspec.json.encode(arguments).decode())
        checked = await runner.check(request, context)
        allowed = checked.verdict == "allow"
        fact = ToolChecked(seat.agent, tool, checked.verdict, checked.arguments_hash, checked.reasons)
        await self._info.event(EventKind.TOOL_CHECKED if allowed else EventKind.TOOL_DENIED, fact)
        if not allowed:
            return Observation(NEEDS_WORD if checked.verdict == "approve" else "; ".join(checked.reasons), True)
        output = await runner.run(request, context, checked)
        self.labels = join(self.labels, output.labels)
        self.sources.extend(output.sources)
        content = clip(output.content, OBSERVATION_CHARS)
        ended = ToolEnded(seat.agent, tool, "", len(output.content), output.sources, output.metrics)
        await self._info.event(EventKind.TOOL_FAILED if output.is_error else EventKind.TOOL_COMPLETED, ended)
        return Observation(content, output.is_error)


class Part:
    """A part of a step with a key of its own, so that each of its model calls is paid once (``StepInfo``)."""

    def __init__(self, whole: StepInfo, key: str) -> None:
        self._whole = whole
        self._key = key

    @property
    def tenant(self) -> str:
        """The task's tenant."""
        return self._whole.tenant

    @property
    def task(self) -> str:
        """The task's id."""
        return self._whole.task

    @property
    def key(self) -> str:
        """The part's key."""
        return self._key

    @property
    def attempt(self) -> int:
        """The step's attempt."""
        return self._whole.attempt

    @property
    def deadline(self) -> int:
        """The step's deadline."""
        return self._whole.deadline

    @property
    def forked_from(self) -> str:
        """The task that this one is a fork of; empty where it is none."""
        return self._whole.forked_from

    def heartbeat(self) -> None:
        """Say that the step is alive."""
        self._whole.heartbeat()

    async def event(self, kind: EventKind, payload: msgspec.Struct) -> None:
        """Append an event of the step."""
        await self._whole.event(kind, payload)
