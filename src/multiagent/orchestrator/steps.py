"""The code of the task workflow's own steps: analyse, decompose, synthesise, finish."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from multiagent.agents.asking import Asker, Question
from multiagent.agents.calls import AgentResult, sources_of
from multiagent.agents.fsm import CUT
from multiagent.agents.recalled import session_of
from multiagent.agents.render import (
    PlanLimits,
    Section,
    ShownAgent,
    ShownPart,
    clip,
    sections,
    shown_attachments,
    shown_tools,
)
from multiagent.agents.steps import PERMISSIONS
from multiagent.core.errors import PlanInvalid
from multiagent.core.label import Labels, join
from multiagent.core.messages import Message, says
from multiagent.core.outcome import Failure
from multiagent.core.plan import Plan
from multiagent.core.principal import Principal
from multiagent.core.task import TaskInput, TaskResult
from multiagent.core.tool import ASK_USER, ToolSpec
from multiagent.engines.base import Step, StepInfo
from multiagent.llm.base import ResponseFormat
from multiagent.orchestrator.calls import (
    ANALYZE,
    ASK_PLAN,
    DECOMPOSE,
    FINISH,
    PLANNED,
    SYNTHESIZE,
    AnalyzeInput,
    AnalyzeOutput,
    DecomposeInput,
    DecomposeOutput,
    FinishInput,
    PlannedInput,
    SynthesizeInput,
    SynthesizeOutput,
)
from multiagent.orchestrator.complexity import analyze, mode, needs_collaboration
from multiagent.orchestrator.consent import Consent
from multiagent.orchestrator.decompose import SCHEMA, SCHEMA_WITH_AGENTS, Known, read_plan
from multiagent.orchestrator.given import of_plan
from multiagent.orchestrator.sessions import remembering
from multiagent.storage.sql.keeping import RememberTurn
from multiagent.storage.sql.ops import PutAgentExecution, UpdateTask

Steps = tuple[Step[Any, Any], ...]
"""Steps as a process registers them."""

PART_CHARS: Final = 12_000
"""The most that the synthesis is shown of one agent's answer."""


def steps(asker: Asker, hired: tuple[ShownAgent, ...] = ()) -> Steps:
    """Return the steps of queues ``orchestrator`` (analyze, finish) and ``llm`` (decompose, synthesize).

    ``hired`` are the agents of the user's own that plans may name.
    """
    code = TaskSteps(asker, hired)
    return (
        Step(ANALYZE, code.analyze),
        Step(DECOMPOSE, code.decompose),
        Step(SYNTHESIZE, code.synthesize),
        Step(FINISH, code.finish),
        Step(PLANNED, code.planned),
        Step(ASK_PLAN, Consent(asker).ask_plan),
    )


class TaskSteps:
    """The code of the steps, over the ports."""

    def __init__(self, asker: Asker, hired: tuple[ShownAgent, ...] = ()) -> None:
        self._asker = asker
        self._ports = asker.ports
        self._hired = hired
        self._format = ResponseFormat("plan", SCHEMA_WITH_AGENTS if hired else SCHEMA)

    async def analyze(self, info: StepInfo, given: AnalyzeInput) -> AnalyzeOutput:
        """Score the query, and find the tools its user may give to agents."""
        task = await self._asker.tasks.load(info.tenant, info.task)
        found = analyze(task.query, task.attachments)
        chosen = mode(found.score, given.simple_below, given.complex_from)
        if task.plan is not None and task.plan.mode is not None:
            chosen = task.plan.mode
        specs = self._ports.runner.specs(task.principal)
        tools = tuple(
            spec.name
            for spec in specs
            if usable(spec, task.principal) and (spec.name != ASK_USER or task.settings.ask_user)
        )
        now = self._ports.clock.now()
        await self._ports.writer.commit(
            UpdateTask(tenant=info.tenant, id=info.task, time=now, status="running", mode=chosen)
        )
        return AnalyzeOutput(found.score, chosen, found.reasons, tools, needs_collaboration(task.query))

    async def decompose(self, info: StepInfo, given: DecomposeInput) -> DecomposeOutput:
        """Ask a model for a plan and check it. Raises what ``Gate.complete`` raises; a bad plan is an output."""
        task = await self._asker.tasks.load(info.tenant, info.task)
        asked = await self._asker.ask(info, task, await self._planning(info, task, given))
        files, agents = (tuple(one.name for one in many) for many in (task.attachments, self._hired))
        known = Known(given.tools, files, given.max_nodes, agents)
        plan, error = _read(asked.message.text, known)
        return DecomposeOutput(asked.head, asked.spent, plan, error)

    async def _planning(self, info: StepInfo, task: TaskInput, given: DecomposeInput) -> Question:
        if given.bad:
            chain = await self._asker.chains.load(info.tenant, given.bad)
            said: tuple[Message, ...] = (says("user", sections(Section("error", given.error))),)
            return Question("repair", given.terms, said, given.bad, chain, response_format=self._format)
        names = tuple(one.name for one in task.attachments)
        specs = self._ports.runner.specs(task.principal, given.tools) if given.tools else ()
        session, told = await session_of(self._asker.chains, info.tenant, task)
        text = sections(
            Section("query", task.query),
            shown_attachments(await self._asker.described(info.tenant, task, names)),
            Section("tools", shown_tools(specs)),
            Section("limits", PlanLimits(given.max_nodes)),
            *([Section("agents", self._hired)] if self._hired else []),
            *session,
        )
        said = (
            says("system", self._asker.prompts.system("decompose", given.terms.prompt_version)),
            says("user", text, labels=join(told, *(one.labels for one in task.attachments))),
        )
        return Question("decompose", given.terms, said, response_format=self._format)

    async def synthesize(self, info: StepInfo, given: SynthesizeInput) -> SynthesizeOutput:
        """Ask a model for the one answer. Raises what ``Gate.complete`` raises."""
        task = await self._asker.tasks.load(info.tenant, info.task)
        shown, labels = [], list[Labels]()
        for part in given.parts:
            chain = await self._asker.chains.load(info.tenant, part.head)
            text = clip(chain[-1].text, PART_CHARS) if chain else ""
            labels.append(chain[-1].labels if chain else ())
            shown.append(ShownPart(part.task, part.title, part.status, text, part.sources))
        text = sections(Section("query", task.query), Section("results", shown), Section("missing", given.missing))
        said = (
            says("system", self._asker.prompts.system("synthesize", given.terms.prompt_version)),
            says("user", text, labels=join(*labels)),
        )
        asked = await self._asker.ask(info, task, Question("synthesize", given.terms, said))
        cut = asked.answer.finish in CUT
        return SynthesizeOutput(asked.head, asked.spent, cut, not asked.message.text.strip())

    async def finish(self, info: StepInfo, given: FinishInput) -> TaskResult:
        """Resolve the answer's text, sum the bill, and write the rows of the task and its agents.

        The task's final status is the engine's to write, with the end of its journal.
        """
        return await self._finish(info, given, "", {})

    async def planned(self, info: StepInfo, given: PlannedInput) -> TaskResult:
        """Write the end of a task that only plans: its result holds the analysis and the plan."""
        analysis, plan = given.analysis, given.plan
        data: dict[str, object] = {
            "mode": analysis.mode,
            "score": analysis.score,
            "reasons": list(analysis.reasons),
            "degraded": plan.degraded,
            "plan": of_plan(msgspec.structs.replace(plan, mode=analysis.mode)),
        }
        return await self._finish(info, given.finish, outline(plan), data)

    async def _finish(self, info: StepInfo, given: FinishInput, told: str, data: dict[str, object]) -> TaskResult:
        texts = [await self._asker.chains.text(info.tenant, one.head) for one in given.agents]
        text = await self._asker.chains.text(info.tenant, given.answer)
        booked = await self._ports.reader.bill(info.tenant, info.task)
        tools = sum(one.bill.tool_calls for one in given.agents)
        bill = msgspec.structs.replace(booked, model_calls=given.model_calls, tool_calls=tools)
        result = TaskResult(
            text or told or side_by_side(given.agents, texts),
            sources_of(given.agents),
            data,
            bill=bill,
            models=given.models,
            partial=given.partial,
            missing=(*given.missing, *cut_short(given.agents)),
        )
        now = self._ports.clock.now()
        await self._ports.writer.commit(
            *(self._row(info, one, said, now) for one, said in zip(given.agents, texts, strict=True)),
            *await self._remembering(info, given, result, now),
            UpdateTask(
                tenant=info.tenant,
                id=info.task,
                time=now,
                result=msgspec.json.encode(result),
                error=Failure(given.code, given.message) if given.code else None,
                usage=bill.usage,
                cost_pico=bill.cost_pico,
                duration_ms=now - given.started,
                waits_for="",
            ),
        )
        return result

    async def _remembering(
        self, info: StepInfo, given: FinishInput, result: TaskResult, now: int
    ) -> Sequence[RememberTurn]:
        task = await self._asker.tasks.load(info.tenant, info.task)
        heads = [given.answer] if given.answer else [one.head for one in given.agents if one.head]
        chains = [await self._asker.chains.load(info.tenant, head) for head in heads if task.session]
        return remembering(info.tenant, task, result, join(*(chain[-1].labels for chain in chains)), now)

    def _row(self, info: StepInfo, agent: AgentResult, text: str, now: int) -> PutAgentExecution:
        return PutAgentExecution(
            tenant=info.tenant,
            task=info.task,
            agent=agent.agent,
            query=agent.title,
            status=agent.status,
            time=now,
            result=text or agent.message,
            model=", ".join(agent.models),
            vendor=agent.vendor,
            usage=agent.bill.usage,
            cost_pico=agent.bill.cost_pico,
            execution_ms=agent.ended - agent.started,
            tool_calls=agent.bill.tool_calls,
        )


def usable(spec: ToolSpec, principal: Principal) -> bool:
    """Return whether it makes sense to plan with a tool: policy has the last word, but what it surely denies to this
    user's agents (administration, and code or network without the permission) is not offered.
    """
    if spec.group in ("code", "network"):
        return PERMISSIONS[spec.group] in principal.permissions
    return spec.group != "admin"


def _read(text: str, known: Known) -> tuple[Plan | None, str]:
    try:
        return read_plan(text, known), ""
    except PlanInvalid as error:
        return None, error.message


def outline(plan: Plan) -> str:
    """Return a plan as a list: each task with what it waits for, its tools and its files."""
    lines: list[str] = []
    for node in plan.tasks:
        told = [f"after {', '.join(node.depends_on)}"] if node.depends_on else []
        told += [f"tools {', '.join(node.tools)}"] if node.tools else []
        told += [f"files {', '.join(node.attachments)}"] if node.attachments else []
        told += [f"agent {node.agent}"] if node.agent else []
        told += [f"{node.tier} tier"] if node.tier else []
        told += [node.strategy] if node.strategy else []
        lines.append(f"- **{node.id}** {node.title}" + (f" ({'; '.join(told)})" if told else ""))
    return "\n".join(lines)


def cut_short(agents: tuple[AgentResult, ...]) -> tuple[str, ...]:
    """Return what to say of agents that answered before they were done, and did not say why."""
    return tuple(
        f"{one.title}: it had to answer before it was done"
        for one in agents
        if one.status == "completed" and one.partial and not one.message
    )


def side_by_side(agents: tuple[AgentResult, ...], texts: list[str]) -> str:
    """Return the finished agents' answers under their titles: what there is where no synthesis could be made."""
    done = [(agent, text) for agent, text in zip(agents, texts, strict=True) if agent.status == "completed" and text]
    if len(done) == 1:
        return done[0][1]
    return "\n\n".join(f"## {agent.title}\n\n{text}" for agent, text in done)
