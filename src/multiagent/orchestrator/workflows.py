"""The task workflow: analyse, plan, run the agents, put their results into one answer. Pure, through ``Context`` only.

How a task ends: with an answer, ``completed`` (``partial`` where an agent failed, was skipped or was cut short by the
budget, and ``missing`` says what); without one, ``failed`` with the code of the first failure. Where several agents
finished but the budget does not pay for the synthesis, it fails with ``BUDGET_EXCEEDED``, and the finished texts stand
in the task's result.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from multiagent.agents.calls import EXPIRE, AgentResult, Brief, ExpireInput, Finding, Opening, Seat
from multiagent.agents.loop import Agent, Purse, heard
from multiagent.core.errors import Cancelled, StepFailed
from multiagent.core.events import EventKind
from multiagent.core.facts import (
    AgentSkipped,
    PlannedTask,
    SynthesisStarted,
    TaskAnalyzed,
    TaskDegraded,
    TaskEnded,
    TaskPlanned,
    TaskStarted,
)
from multiagent.core.outcome import Failure
from multiagent.core.plan import Node, Plan
from multiagent.core.task import TaskInput, TaskResult, TaskStatus
from multiagent.core.usage import Bill
from multiagent.engines.base import Context, Forked, Workflow
from multiagent.orchestrator.budget import Treasury, width
from multiagent.orchestrator.calls import (
    ANALYZE,
    ASK_PLAN,
    DECOMPOSE,
    FINISH,
    PLANNED,
    SYNTHESIZE,
    AnalyzeInput,
    AnalyzeOutput,
    AskPlanInput,
    DecomposeInput,
    FinishInput,
    PartRef,
    PlannedInput,
    SynthesizeInput,
)
from multiagent.orchestrator.scheduler import Scheduler
from multiagent.orchestrator.strategies.choose import choose
from multiagent.orchestrator.strategies.hired import Hired
from multiagent.orchestrator.strategies.persistent import Persistent
from multiagent.orchestrator.strategies.team import Worker
from multiagent.orchestrator.strategies.workers import worker

WHOLE: Final = "t1"
"""The id of the only agent task, where a query is not split."""


ONE_ANSWER: Final = "one-answer-stands"
"""The change by which an answer that there is only one of needs no synthesis, where the budget does not pay for it."""


class Answered(msgspec.Struct, frozen=True):
    """The head of the task's answer; ``cut``: it is not whole."""

    head: str
    cut: bool = False


class TaskRun:
    """One task's run: an object of its workflow, rebuilt by replay."""

    def __init__(self, ctx: Context, task: TaskInput) -> None:
        self._ctx = ctx
        self._task = task
        self._treasury = Treasury(ctx)
        self._started = ctx.now()
        self._agents: dict[str, AgentResult] = {}
        self._unstarted = 0
        self._analysis: AnalyzeOutput | None = None

    async def run(self) -> TaskResult:
        """Return the answer; StepFailed with the code of what stopped the task."""
        settings = self._ctx.settings
        limit = settings.limit
        self._ctx.emit(
            EventKind.TASK_STARTED,
            TaskStarted(
                settings.max_agents, limit.tokens, limit.pico, settings.prompt_version, settings.policy_version
            ),
        )
        try:
            plan = await self._plan()
            if settings.plan_only:
                return await self._end("completed", Answered(""), None, plan)
            if settings.require_approval:
                await self._consent(plan)
            await self._run_agents(plan)
            answer = await self._answer(plan)
        except StepFailed as error:
            await self._end("failed", Answered(""), Failure(error.code, error.message))
            raise
        except Cancelled as error:
            await self._end("cancelled", Answered(""), Failure("CANCELLED", str(error) or "cancelled"))
            raise
        return await self._end("completed", answer, None)

    async def _plan(self) -> Plan:
        ctx, settings = self._ctx, self._ctx.settings
        given = AnalyzeInput(settings.simple_below, settings.complex_from)
        analysis = self._analysis = await ctx.step(ANALYZE, given, "analyze")
        self._treasury.mode = analysis.mode
        ctx.emit(EventKind.TASK_ANALYZED, TaskAnalyzed(analysis.score, analysis.mode, analysis.reasons))
        plan = await self._planned(analysis)
        tasks = tuple(
            PlannedTask(node.id, node.title, node.depends_on, node.tools, node.attachments) for node in plan.tasks
        )
        ctx.emit(EventKind.TASK_PLANNED, TaskPlanned(tasks, plan.reason, plan.degraded))
        ctx.publish("plan", plan)
        return plan

    async def _consent(self, plan: Plan, *, again: bool = False) -> None:
        """Wait for a person's word on the plan; StepFailed with ``PLAN_REJECTED`` where it is no, or does not come."""
        ctx = self._ctx
        asked = await ctx.step(ASK_PLAN, AskPlanInput(plan), f"plan/ask/{ctx.cuts}" if again else "plan/ask")
        try:
            word = await ctx.timeout(max(0.0, (asked.expires - ctx.now()) / 1000), heard(ctx, asked.approval))
        except Forked:  # what was asked before a fork's cut was asked about another task
            return await self._consent(plan, again=True)
        except TimeoutError:
            word = await ctx.step(EXPIRE, ExpireInput(asked.approval), "plan/expire")
        if not word.approved:
            why = word.reason or ("nobody decided in time" if word.expired else f"{word.by or 'a person'} said no")
            raise StepFailed("PLAN_REJECTED", f"the plan was not approved: {why}")
        return None

    async def _planned(self, analysis: AnalyzeOutput) -> Plan:
        if self._task.plan is not None:
            return self._task.plan
        return self._whole(analysis) if analysis.mode == "simple" else await self._decompose(analysis)

    async def _decompose(self, analysis: AnalyzeOutput) -> Plan:
        """Ask for a plan; once more where it is invalid; then do without one."""
        ctx = self._ctx
        terms, most = self._treasury.terms(), ctx.settings.max_nodes
        first = await ctx.step(DECOMPOSE, DecomposeInput(terms, most, analysis.tools), "decompose")
        self._treasury.book(first.spent)
        if first.plan is not None:
            return first.plan
        again = DecomposeInput(self._treasury.terms(), most, analysis.tools, first.head, first.error)
        second = await ctx.step(DECOMPOSE, again, "decompose/repair")
        self._treasury.book(second.spent)
        if second.plan is not None:
            return second.plan
        reason = f"no valid plan was made ({second.error}); one agent does the whole"
        ctx.emit(EventKind.TASK_DEGRADED, TaskDegraded(reason, "PLAN_INVALID"))
        return msgspec.structs.replace(self._whole(analysis), reason=reason, degraded=True)

    def _whole(self, analysis: AnalyzeOutput) -> Plan:
        """The plan of one agent task: the query itself."""
        title = " ".join(self._task.query.split())
        title = title if len(title) <= 60 else f"{title[:59]}…"
        names = tuple(one.name for one in self._task.attachments)
        return Plan((Node(WHOLE, title, self._task.query, (), analysis.tools, names),))

    async def _run_agents(self, plan: Plan) -> None:
        self._unstarted = len(plan.tasks)
        self._treasury.keeps = len(plan.tasks) > 1
        scheduler = Scheduler(self._ctx, plan, self._agent, self._skip, self._width)
        await scheduler.run()

    def _width(self) -> int:
        most = width(self._ctx.settings.max_agents, self._treasury.rung)
        return most if self._agents or most else 1

    async def _agent(self, node: Node, done: Mapping[str, AgentResult]) -> AgentResult:
        settings = self._ctx.settings
        purse = self._treasury.purse(node.id, self._unstarted, node.tier)
        self._unstarted -= 1
        inputs = tuple(
            Finding(one, done[one].title, done[one].head) for one in node.depends_on if done[one].status == "completed"
        )
        missing = tuple(done[one].title for one in node.depends_on if done[one].status != "completed")
        brief = Brief(
            Seat(node.id, node.tools, node.attachments),
            Opening(node.title, node.instruction, settings.max_turns, inputs, missing),
            settings.max_turns,
            settings.max_repeats,
        )
        agent = Persistent(self._ctx, brief, lambda again: self._worker(node, again, purse))
        try:
            result = self._agents[node.id] = await agent.run()
            self._treasury.some |= result.status == "completed"
        except Cancelled:
            self._agents[node.id] = agent.stopped()
            raise
        finally:
            self._treasury.close(node.id)
        return result

    def _worker(self, node: Node, brief: Brief, purse: Purse) -> Worker:
        settings, analysis = self._ctx.settings, self._analysis
        if node.agent:
            return Hired(self._ctx, brief, purse, node.agent)
        if analysis is None:
            return Agent(self._ctx, brief, purse)
        strategy = choose(node.strategy, settings.strategy, analysis, settings.simple_below)
        return worker(strategy, self._ctx, brief, purse)

    def _skip(self, node: Node, reason: str) -> AgentResult:
        self._unstarted -= 1
        now = self._ctx.now()
        self._ctx.emit(EventKind.AGENT_SKIPPED, AgentSkipped(node.id, node.title, reason))
        code = "BUDGET_EXCEEDED" if self._treasury.rung == "partial" else "SKIPPED"
        result = AgentResult(node.id, node.title, "skipped", started=now, ended=now, code=code, message=reason)
        self._agents[node.id] = result
        return result

    async def _answer(self, plan: Plan) -> Answered:
        """Put the results together; with a single agent task its answer is the task's."""
        results = [self._agents[node.id] for node in plan.tasks]
        finished = [result for result in results if result.status == "completed"]
        if not finished:
            failed = next((one for one in results if one.status == "failed"), results[0])
            raise StepFailed(failed.code, failed.message)
        if len(plan.tasks) == 1:
            return Answered(finished[0].head, finished[0].partial)
        try:
            return await self._together(results, len(finished))
        except StepFailed as error:
            if error.code != "BUDGET_EXCEEDED" or len(finished) > 1 or not self._ctx.patched(ONE_ANSWER):
                raise
            reason = "the budget does not pay for a synthesis; the one answer that there is stands alone"
            self._ctx.emit(EventKind.TASK_DEGRADED, TaskDegraded(reason, error.code))
            return Answered(finished[0].head, cut=True)

    async def _together(self, results: Sequence[AgentResult], finished: int) -> Answered:
        """Have one answer made of all results."""
        missing = self._missing()
        self._ctx.emit(EventKind.SYNTHESIS_STARTED, SynthesisStarted(finished, missing))
        parts = tuple(PartRef(one.agent, one.title, one.status, one.head, one.sources) for one in results)
        given = SynthesizeInput(self._treasury.terms(), parts, missing)
        output = await self._ctx.step(SYNTHESIZE, given, "synthesize")
        self._treasury.book(output.spent)
        if output.empty:
            self._ctx.emit(
                EventKind.TASK_DEGRADED,
                TaskDegraded("the synthesis was empty; the agents' answers stand side by side", "MODEL_OUTPUT_INVALID"),
            )
        return Answered("" if output.empty else output.head, output.cut or output.empty)

    def _missing(self) -> tuple[str, ...]:
        return tuple(
            f"{one.title}: {_why(one)}" for one in self._agents.values() if one.status != "completed" or one.message
        )

    async def _end(
        self, status: TaskStatus, answer: Answered, failure: Failure | None, planned: Plan | None = None
    ) -> TaskResult:
        """Write the end; ``planned`` is the result of a task that only plans."""
        ctx, treasury = self._ctx, self._treasury
        by_name = [self._agents[name] for name in sorted(self._agents)]
        agents = tuple(msgspec.structs.replace(one, bill=one.billed(ctx.cuts)) for one in by_name)
        missing = self._missing()
        some = any(one.status == "completed" for one in agents)
        partial = some and (answer.cut or bool(missing) or any(one.partial for one in agents) or failure is not None)
        given = FinishInput(
            status,
            treasury.mode,
            answer.head,
            agents,
            treasury.bill.model_calls,
            tuple(treasury.models),
            self._started,
            partial,
            missing,
            failure.code if failure else "",
            failure.message if failure else "",
        )
        if planned is not None and self._analysis is not None:
            result = await ctx.step(PLANNED, PlannedInput(given, self._analysis, planned), "planned")
        else:
            result = await ctx.step(FINISH, given, "finish")
        if ctx.inherited:  # the cut is at the very end: the parent paid for all of it
            result = msgspec.structs.replace(result, bill=Bill())
        bill = result.bill
        ended = TaskEnded(
            bill.usage.total,
            bill.cost_pico,
            bill.saved_pico,
            bill.model_calls,
            bill.tool_calls,
            ctx.now() - self._started,
            result.models,
            result.partial,
            missing,
            given.code,
            given.message,
            bill.lost_tokens,
            bill.lost_pico,
        )
        ctx.emit(ENDINGS[status], ended)
        return result


def _why(agent: AgentResult) -> str:
    """Why an agent task brought nothing, as the answer says it; the whole message is in the agent's own row."""
    return "the budget was used up" if agent.code == "BUDGET_EXCEEDED" else agent.message or agent.status


ENDINGS: Final[Mapping[str, EventKind]] = {
    "completed": EventKind.TASK_COMPLETED,
    "failed": EventKind.TASK_FAILED,
    "cancelled": EventKind.TASK_CANCELLED,
}


async def run_task(ctx: Context, task: TaskInput) -> TaskResult:
    """Do one task from its query to its answer."""
    return await TaskRun(ctx, task).run()


TASK: Final[Workflow[TaskInput, TaskResult]] = Workflow("task", run_task, TaskInput, TaskResult)
