"""What a model call's answer or error says happened on the way, as events of its step."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from multiagent.core.errors import BudgetBusy, BudgetExceeded, PlatformError, PolicyDenied
from multiagent.core.events import EventKind
from multiagent.core.facts import BudgetLowered, BudgetOverrun, BudgetRefused, CacheHit, ModelDenied, ModelFallback
from multiagent.engines.base import StepInfo
from multiagent.llm.base import Answer, Fallback


@dataclass(frozen=True, slots=True)
class Asking:
    """One model call of a step."""

    info: StepInfo
    purpose: str
    agent: str

    async def answered(self, answer: Answer, wanted: int) -> None:
        """Say what led to an answer for which ``wanted`` output tokens were asked."""
        await self._fell_back(answer.fallbacks)
        if answer.lowered:
            lowered = BudgetLowered(self.purpose, wanted, answer.lowered, self.agent)
            await self.info.event(EventKind.BUDGET_LOWERED, lowered)
        if answer.cached in ("exact", "semantic"):
            hit = CacheHit(self.purpose, answer.cached, answer.vendor, answer.model, answer.saved_pico, self.agent)
            await self.info.event(EventKind.CACHE_HIT, hit)
        if answer.overrun:
            overrun = BudgetOverrun(
                self.purpose, answer.vendor, answer.model, answer.usage.total, answer.cost_pico, self.agent
            )
            await self.info.event(EventKind.BUDGET_OVERRUN, overrun)

    async def failed(self, error: PlatformError) -> None:
        """Say what led to an error."""
        told = error.details.get("fallbacks")
        if isinstance(told, list):
            await self._fell_back(msgspec.convert(one, Fallback) for one in told)
        if isinstance(error, BudgetExceeded | BudgetBusy):
            scope = str(error.details.get("scope", ""))
            refused = BudgetRefused(self.purpose, error.code, error.message, scope, self.agent)
            await self.info.event(EventKind.BUDGET_REFUSED, refused)
        if isinstance(error, PolicyDenied):
            reasons = error.details.get("reasons")
            why = tuple(str(one) for one in reasons) if isinstance(reasons, list) else (error.message,)
            await self.info.event(EventKind.MODEL_DENIED, ModelDenied(self.purpose, why, self.agent))

    async def _fell_back(self, fallbacks: Iterable[Fallback]) -> None:
        for one in fallbacks:
            fact = ModelFallback(self.purpose, one.endpoint, one.code, one.message, one.billed, self.agent)
            await self.info.event(EventKind.MODEL_FALLBACK, fact)
