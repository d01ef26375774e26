"""Several agents at one agent task: who proposes, who reviews, and what they came to together. Workflow code."""

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from multiagent.agents.calls import AgentResult, Brief, Finding, Opening, Review, ReviewRole, Ruling, reviewer
from multiagent.agents.loop import Agent, Purse
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentRuled
from multiagent.core.usage import Bill
from multiagent.engines.base import Context

REVISE: Final = (
    "{instruction}\n\nAn answer of yours was not accepted. It stands in `inputs` with its review: put it right."
)
REVIEWED: Final = "review"


class Worker(Protocol):
    """Whoever does an agent task."""

    async def run(self) -> AgentResult:
        """Do it. Failures are a result; only cancellation is thrown."""
        ...

    def stopped(self) -> AgentResult:
        """How far a cancelled worker came, and what it used."""
        ...


class Team:
    """The agents at one agent task, one after the other. Its bill is theirs together."""

    def __init__(self, ctx: Context, brief: Brief, purse: Purse) -> None:
        self._ctx = ctx
        self._brief = brief
        self._purse = purse
        self._started = ctx.now()
        self._done: list[AgentResult] = []
        self._at_work: Agent | None = None
        self._proposals = 0
        self._reviews = 0

    @property
    def name(self) -> str:
        """The agent task's id."""
        return self._brief.seat.agent

    def poor(self) -> bool:
        """Whether the budget is so far gone that nothing more should be begun."""
        return self._purse.last

    async def propose(self) -> AgentResult:
        """Have the task done."""
        self._proposals += 1
        return await self._run(self._brief)

    async def revise(self, answer: AgentResult, review: AgentResult) -> AgentResult:
        """Have it done again, knowing an answer and what was said of it."""
        self._proposals += 1
        opening = self._brief.opening
        told = (
            Finding(self.name, "Your earlier answer", answer.head),
            Finding(REVIEWED, "What the review says of it", review.head),
        )
        again = msgspec.structs.replace(
            opening,
            instruction=REVISE.format(instruction=opening.instruction),
            inputs=(*opening.inputs, *told),
        )
        return await self._run(self._as(f"{self.name}.{self._proposals}", again))

    async def review(self, role: ReviewRole, answer: AgentResult) -> tuple[AgentResult, Ruling | None]:
        """Have an answer reviewed; no ruling where the reviewer failed or wrote none."""
        self._reviews += 1
        who = "judge" if role == "judge" else "critic"
        opening = msgspec.structs.replace(self._brief.opening, title=f"{self._brief.opening.title} ({who})")
        brief = msgspec.structs.replace(
            self._as(reviewer(self.name, role, self._reviews), opening), review=Review(role, answer.head)
        )
        agent = Agent(self._ctx, brief, self._purse)
        result = await self._led(agent)
        ruling = agent.ruling if result.status == "completed" else None
        said = ruling or Ruling(accept=False, reasons=(result.message or "the review is no ruling",))
        fact = AgentRuled(self.name, role, said.accept, said.reasons, said.corrections, ruling is not None)
        self._ctx.emit(EventKind.AGENT_RULED, fact)
        return result, ruling

    def close(self, answer: AgentResult, *, partial: bool, note: str = "") -> AgentResult:
        """Return the agent task's result: this answer, with the bill of all who worked on it."""
        return msgspec.structs.replace(
            answer,
            agent=self.name,
            title=self._brief.opening.title,
            sources=_once(name for one in self._done for name in one.sources),
            bill=sum((one.billed(self._ctx.cuts) for one in self._done), Bill()),
            cuts=self._ctx.cuts,
            models=_once(name for one in self._done for name in one.models),
            partial=answer.partial or partial,
            turns=sum(one.turns for one in self._done),
            started=self._started,
            ended=self._ctx.now(),
            message=answer.message or note,
        )

    def stopped(self) -> AgentResult:
        """Return how far the team came when it was cancelled."""
        if self._at_work is not None:
            self._done.append(self._at_work.stopped())
            self._at_work = None
        if not self._done:
            self._done.append(Agent(self._ctx, self._brief, self._purse).stopped())
        return self.close(self._done[-1], partial=False)

    def _as(self, name: str, opening: Opening) -> Brief:
        seat = msgspec.structs.replace(self._brief.seat, agent=name)
        return msgspec.structs.replace(self._brief, seat=seat, opening=opening)

    async def _run(self, brief: Brief) -> AgentResult:
        return await self._led(Agent(self._ctx, brief, self._purse))

    async def _led(self, agent: Agent) -> AgentResult:
        self._at_work = agent
        result = await agent.run()
        self._at_work = None
        self._done.append(result)
        return result


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
