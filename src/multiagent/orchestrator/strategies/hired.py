"""An agent of the user's own at an agent task. Workflow code."""

from multiagent.agents.calls import EMPLOY, AgentResult, AgentStatus, Brief, EmployInput
from multiagent.agents.loop import ENDINGS, Purse, ended, lost_in
from multiagent.core.errors import StepFailed
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentStarted
from multiagent.core.usage import Bill
from multiagent.engines.base import Context


class Hired:
    """One agent task done so (``team.Worker``): a single step, in which the agent does as it likes."""

    def __init__(self, ctx: Context, brief: Brief, purse: Purse, agent: str) -> None:
        self._ctx = ctx
        self._brief = brief
        self._purse = purse
        self._agent = agent
        self._name = brief.seat.agent
        self._bill = Bill()
        self._started = ctx.now()

    async def run(self) -> AgentResult:
        """Have it work. Its failures are a result; only cancellation is thrown."""
        ctx, brief, terms = self._ctx, self._brief, self._purse.terms()
        limit = terms.agent_limit
        ctx.emit(
            EventKind.AGENT_STARTED,
            AgentStarted(self._name, brief.opening.title, terms.tier, limit.tokens, limit.pico),
        )
        given = EmployInput(self._agent, brief.seat, terms, brief.opening)
        try:
            output = await ctx.step(EMPLOY, given, f"a/{self._name}/employ")
        except StepFailed as error:
            lost = lost_in(error)
            self._purse.lose(lost)
            self._bill += Bill(lost_tokens=lost.tokens, lost_pico=lost.pico)
            return self._end(AgentResult(self._name, "", "failed", code=error.code, message=error.message))
        for spent in output.spent:
            self._purse.book(spent)
            self._bill += spent.bill
        self._bill += Bill(tool_calls=output.calls)
        models = tuple(dict.fromkeys(spent.model for spent in output.spent))
        vendor = output.spent[-1].vendor if output.spent else ""
        return self._end(
            AgentResult(self._name, "", "completed", output.head, output.sources, models=models, vendor=vendor, turns=1)
        )

    def stopped(self) -> AgentResult:
        """What is known of it when it was cancelled."""
        told = "it was cancelled at its work"
        return self._end(AgentResult(self._name, "", "cancelled", code="CANCELLED", message=told))

    def _end(self, result: AgentResult) -> AgentResult:
        whole = AgentResult(
            result.agent,
            self._brief.opening.title,
            result.status,
            result.head,
            result.sources,
            self._bill,
            result.models,
            result.vendor,
            result.partial,
            result.turns,
            self._started,
            self._ctx.now(),
            result.code,
            result.message,
        )
        status: AgentStatus = whole.status
        self._ctx.emit(ENDINGS[status], ended(whole))
        return whole
