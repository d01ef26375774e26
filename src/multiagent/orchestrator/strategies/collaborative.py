"""The collaborative strategy: one proposes, a critic finds fault, a judge who knows neither rules. Workflow code."""

from typing import Final

from multiagent.agents.calls import AgentResult, Brief, Ruling
from multiagent.agents.loop import Purse
from multiagent.engines.base import Context
from multiagent.orchestrator.strategies.team import Team

ROUNDS: Final = 2
"""So often a judge rules; an answer that is rejected in the last round stands, marked as such."""


class Collaboration:
    """One agent task done so (``team.Worker``)."""

    def __init__(self, ctx: Context, brief: Brief, purse: Purse) -> None:
        self._team = Team(ctx, brief, purse)

    async def run(self) -> AgentResult:
        """Propose; correct what the critic found; have it judged; correct and have it judged once more."""
        team = self._team
        answer = await team.propose()
        if answer.status != "completed":
            return team.close(answer, partial=False)
        if team.poor():
            return team.close(answer, partial=True, note="the budget did not allow a review")
        answer = await self._corrected(answer)
        for last in (False, True):
            if team.poor():
                return team.close(answer, partial=True, note="the budget did not allow a judge")
            review, ruling = await team.review("judge", answer)
            if ruling is None:
                return team.close(answer, partial=True, note="no judge ruled on this answer")
            if ruling.accept:
                return team.close(answer, partial=False)
            if last or team.poor():
                return team.close(answer, partial=True, note=rejected(ruling))
            answer = await self._again(answer, review)
        return answer

    def stopped(self) -> AgentResult:
        """How far it came when it was cancelled."""
        return self._team.stopped()

    async def _corrected(self, answer: AgentResult) -> AgentResult:
        review, ruling = await self._team.review("critique", answer)
        return answer if ruling is None or ruling.accept else await self._again(answer, review)

    async def _again(self, answer: AgentResult, review: AgentResult) -> AgentResult:
        if self._team.poor():
            return answer
        revised = await self._team.revise(answer, review)
        return revised if revised.status == "completed" else answer


def rejected(ruling: Ruling) -> str:
    """Return why an answer that stands was not accepted."""
    return f"the judge does not accept this answer: {'; '.join((*ruling.reasons, *ruling.corrections)) or 'no reason'}"
