"""What a plan will probably use, pure: a range of tokens and of cost for each agent task and for all.

An estimate, not a bound: the low end is an agent that is done after its first tool call, the high end one that uses all
its turns. The bound is the task's budget, which cuts the high end off.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from multiagent.core.plan import AskedStrategy, Mode, Node, Plan
from multiagent.core.settings import TaskSettings
from multiagent.core.task import Attachment
from multiagent.core.tier import Tier
from multiagent.core.usage import Rates
from multiagent.orchestrator.budget import tier_for

CHARS: Final = (5.0, 1.6)
"""Characters a token: in English prose, and at the other end (Chinese, digits, code)."""

HEAD_CHARS: Final = 1_500
SYSTEM_CHARS: Final = 1_900
"""What a prompt shows of each attachment, and its fixed text."""

SHORT: Final = 40
LONG: Final = 1_000
"""Tokens of a short and of a long answer, tool call or observation."""

ROUNDS: Final[Mapping[AskedStrategy, tuple[int, int]]] = {
    "direct": (1, 1), "iterative": (2, 6), "collaborative": (3, 6), "auto": (1, 6)
}  # fmt: skip
"""How many agents' runs a strategy takes: its proposals with their reviews."""


class Range(msgspec.Struct, frozen=True):
    """From the low to the high end."""

    low: int
    high: int

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def times(self, low: int, high: int) -> "Range":
        """Each end so many times."""
        return Range(self.low * low, self.high * high)

    def within(self, most: int | None) -> "Range":
        """Cut off at a limit."""
        return self if most is None else Range(min(self.low, most), min(self.high, most))


class TierPrices(msgspec.Struct, frozen=True):
    """The cheapest and the dearest rates of the models that serve a tier."""

    low: Rates
    high: Rates
    models: tuple[str, ...] = ()


class Estimate(msgspec.Struct, frozen=True):
    """What one agent task (or ``synthesis``) will probably use."""

    id: str
    title: str
    tier: Tier
    tokens: Range
    cost_pico: Range


class PlanEstimate(msgspec.Struct, frozen=True):
    """Each agent task's estimate, the synthesis' where there is one, and the sum."""

    parts: tuple[Estimate, ...]
    tokens: Range
    cost_pico: Range


class _Use(msgspec.Struct, frozen=True):
    prompt: Range
    output: Range


class Estimator:
    """Estimates the plans of one task."""

    def __init__(
        self,
        query: str,
        attachments: tuple[Attachment, ...],
        settings: TaskSettings,
        mode: Mode,
        prices: Mapping[Tier, TierPrices],
    ) -> None:
        self._query = query
        self._sizes = {one.name: min(one.size, HEAD_CHARS) for one in attachments}
        self._settings = settings
        self._mode: Mode = mode
        self._prices = prices

    def plan(self, plan: Plan) -> PlanEstimate:
        """Return what a plan will probably use."""
        parts = [self._agent(node) for node in plan.tasks]
        if len(plan.tasks) > 1:
            parts.append(self._synthesis(len(plan.tasks)))
        limit = self._settings.limit
        tokens = sum((one.tokens for one in parts), Range(0, 0)).within(limit.tokens)
        cost = sum((one.cost_pico for one in parts), Range(0, 0)).within(limit.pico)
        return PlanEstimate(tuple(parts), tokens, cost)

    def _agent(self, node: Node) -> Estimate:
        shown = SYSTEM_CHARS + len(self._query) + len(node.instruction) + len(node.title)
        shown += sum(self._sizes.get(name, HEAD_CHARS) for name in node.attachments)
        opening = _tokens(shown)
        inputs = Range(SHORT, LONG).times(len(node.depends_on), len(node.depends_on))
        use = self._turns(opening + inputs, tools=bool(node.tools))
        low, high = ROUNDS[node.strategy or self._settings.strategy or "direct"]
        use = _Use(use.prompt.times(low, high), use.output.times(low, high))
        tier = tier_for(self._settings, self._mode, "normal", agent=True, planned=node.tier)
        return self._priced(node.id, node.title, tier, use)

    def _turns(self, opening: Range, *, tools: bool) -> _Use:
        """Each turn is sent all that was said before it: its prompts add up quadratically."""
        low, high = (2, max(2, self._settings.max_turns)) if tools else (1, 1)
        output = Range(SHORT, min(LONG, self._settings.max_output))
        more = Range(output.low + SHORT, output.high + LONG)
        prompt = opening.times(low, high) + more.times(low * (low - 1) // 2, high * (high - 1) // 2)
        return _Use(prompt, output.times(low, high))

    def _synthesis(self, agents: int) -> Estimate:
        prompt = _tokens(SYSTEM_CHARS // 2 + len(self._query)) + Range(SHORT, LONG).times(agents, agents)
        output = Range(SHORT, self._settings.max_output)
        tier = tier_for(self._settings, self._mode, "normal", agent=False)
        return self._priced("synthesis", "the one answer", tier, _Use(prompt, output))

    def _priced(self, identity: str, title: str, tier: Tier, use: _Use) -> Estimate:
        prices, limit = self._prices[tier], self._settings.limit
        cost = Range(
            use.prompt.low * prices.low.prompt + use.output.low * prices.low.completion,
            use.prompt.high * prices.high.prompt + use.output.high * prices.high.completion,
        )
        tokens = (use.prompt + use.output).within(limit.tokens)
        return Estimate(identity, title, tier, tokens, cost.within(limit.pico))


def _tokens(chars: int) -> Range:
    english, dense = CHARS
    return Range(int(chars / english), int(chars / dense))
