"""The iterative strategy: answer, weigh the evidence for it, and go on until it is believed. Workflow code.

Each answer is a hypothesis, "this answer is right". That it rests on tools, and what a critic says of it, are the
evidence; the weights are what they are worth. It stops at the first answer whose confidence reaches the threshold.
"""

from typing import Final

from multiagent.agents.belief import Belief, Evidence, Weight
from multiagent.agents.calls import AgentResult, Brief, Ruling
from multiagent.agents.loop import Purse
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentBelieves, Believed
from multiagent.engines.base import Context
from multiagent.orchestrator.strategies.team import Team

THRESHOLD: Final = 0.9
ROUNDS: Final = 3
"""So many answers are tried at the most."""
CHECKS: Final = 2
"""So many critics look at one answer at the most."""

GROUNDED: Final = (0.9, 0.45)
CUT: Final = (0.1, 0.4)
ACCEPTED: Final = (0.9, 0.15)
REJECTED: Final = (0.1, 0.85)
"""How likely a right and a wrong answer are to rest on tools, to be cut short, to be accepted, to be rejected."""


class Iteration:
    """One agent task done so (``team.Worker``)."""

    def __init__(self, ctx: Context, brief: Brief, purse: Purse) -> None:
        self._ctx = ctx
        self._team = Team(ctx, brief, purse)
        self._belief = Belief(THRESHOLD)
        self._answers: dict[str, AgentResult] = {}

    async def run(self) -> AgentResult:
        """Answer until one is believed, or the rounds or the budget are used up; then the likeliest stands."""
        answer = await self._team.propose()
        if answer.status != "completed":
            return self._team.close(answer, partial=False)
        for number in range(1, ROUNDS + 1):
            review = await self._weigh(f"answer{number}", answer)
            if self._belief.best is not None or self._team.poor() or number == ROUNDS or review is None:
                break
            revised = await self._team.revise(answer, review)
            if revised.status != "completed":
                break
            answer = revised
        return self._settled(answer)

    def stopped(self) -> AgentResult:
        """How far it came when it was cancelled."""
        return self._team.stopped()

    def _settled(self, answer: AgentResult) -> AgentResult:
        leading = self._belief.leading
        if leading is None:
            return self._team.close(answer, partial=True)
        sure = self._belief.best is not None
        note = "" if sure else f"believed with {leading.confidence:.0%} only, not {THRESHOLD:.0%}"
        return self._team.close(self._answers[leading.id], partial=not sure, note=note)

    async def _weigh(self, name: str, answer: AgentResult) -> AgentResult | None:
        """Gather the evidence for one answer until it is believed or rejected; return the last readable review."""
        self._answers[name] = answer
        self._belief = self._belief.consider(name, f"{name} of {self._team.name} is right")
        if answer.bill.tool_calls:
            self._observe(name, "it rests on tools", GROUNDED)
        if answer.partial:
            self._observe(name, "it was cut short", CUT)
        said: AgentResult | None = None
        for _ in range(CHECKS):
            if self._belief.best is not None or self._team.poor():
                break
            review, ruling = await self._team.review("critique", answer)
            if ruling is None:
                break
            said = review
            self._observe(name, _told(ruling), ACCEPTED if ruling.accept else REJECTED)
            if not ruling.accept:
                break
        return said

    def _observe(self, name: str, text: str, weight: tuple[float, float]) -> None:
        number = len(self._belief.evidence) + 1
        self._belief = self._belief.observe(Evidence(f"e{number}", f"{name}: {text}", (Weight(name, *weight),)))
        self._ctx.publish(f"belief/{self._team.name}", self._belief)
        best = self._belief.best
        fact = AgentBelieves(
            self._team.name,
            f"{name}: {text}",
            tuple(Believed(one.id, one.text, round(one.confidence, 4)) for one in self._belief.hypotheses),
            THRESHOLD,
            best.id if best is not None else "",
        )
        self._ctx.emit(EventKind.AGENT_BELIEVES, fact)


def _told(ruling: Ruling) -> str:
    if ruling.accept:
        return "a critic accepts it"
    return f"a critic rejects it: {'; '.join((*ruling.corrections, *ruling.reasons))[:500] or 'no reason given'}"
