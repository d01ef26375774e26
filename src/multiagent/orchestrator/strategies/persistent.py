"""An agent task that is done once more where it failed, if the settings say so. Workflow code."""

from collections.abc import Callable
from typing import Final

import msgspec

from multiagent.agents.calls import AgentResult, Brief
from multiagent.engines.base import Context
from multiagent.orchestrator.strategies.team import Worker

HOPELESS: Final = ("BUDGET_EXCEEDED", "BUDGET_BUSY", "POLICY_DENIED", "EFFECT_UNKNOWN", "NOT_FOUND")
"""Failures that a second try would only repeat, or must not repeat."""


class Persistent:
    """Does an agent task by the worker that ``make`` returns for its brief (``team.Worker``)."""

    def __init__(self, ctx: Context, brief: Brief, make: Callable[[Brief], Worker]) -> None:
        self._ctx = ctx
        self._brief = brief
        self._make = make
        self._failed: AgentResult | None = None
        self._worker = make(brief)

    async def run(self) -> AgentResult:
        """Do it; where it failed and ``failed_agent`` says ``retry``, do it once more under a name of its own."""
        first = await self._worker.run()
        if first.status != "failed" or self._ctx.settings.failed_agent != "retry" or first.code in HOPELESS:
            return first
        self._failed = first
        seat = msgspec.structs.replace(self._brief.seat, agent=f"{self._brief.seat.agent}.again")
        self._worker = self._make(msgspec.structs.replace(self._brief, seat=seat))
        return self._both(await self._worker.run())

    def stopped(self) -> AgentResult:
        """How far it came when it was cancelled."""
        return self._both(self._worker.stopped())

    def _both(self, last: AgentResult) -> AgentResult:
        """Return a result under the agent task's own name, with the bill of both tries."""
        first = self._failed
        if first is None:
            return last
        return msgspec.structs.replace(
            last, agent=first.agent, bill=first.bill + last.bill, turns=first.turns + last.turns, started=first.started
        )
