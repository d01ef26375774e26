"""What a task's budget means for its agents: who gets how much, and what changes as it runs out (design §6).

The ladder from 80%: alert, then a cheaper tier, then fewer agents at once, then a partial answer. The hard limits are
the gate's; here they are shared out, from what the calls' outputs said they used.
"""

from typing import Final

from multiagent.agents.calls import Spent, Terms
from multiagent.core.budget import Amount, Limit, Rung, rung, share
from multiagent.core.events import EventKind
from multiagent.core.facts import BudgetAlert
from multiagent.core.plan import Mode
from multiagent.core.settings import TaskSettings
from multiagent.core.tier import Tier, cheaper
from multiagent.core.usage import Bill
from multiagent.engines.base import Context
from multiagent.orchestrator.calls import BudgetView

KEPT_PERCENT: Final = 15
"""So much of a task's limit stays back for synthesis and repairs."""

LEAST_PERCENT: Final = 25
"""An agent may use at least this share of the limit while so much is unused, also where fewer is its even share:
agents differ in what they need, and the task's own limit still holds for all together."""

KEPT_BACK: Final = "kept-for-synthesis"
"""The change by which agents that compete for the rest leave what is kept back."""

RUNGS: Final[tuple[Rung, ...]] = ("normal", "alert", "cheaper", "fewer", "partial")


def even_share(limit: Limit, used: Amount, promised: Amount, waiting: int) -> Limit:
    """Return each of ``waiting`` agent tasks' even share of what is neither used nor promised to running ones."""

    def one(amount: int | None, gone: int) -> int | None:
        return None if amount is None else max(0, _shared(amount) - gone) // max(1, waiting)

    return Limit(one(limit.tokens, used.tokens + promised.tokens), one(limit.pico, used.pico + promised.pico))


def allowance(limit: Limit, used: Amount, even: Limit) -> Limit:
    """Return what an agent task may use: its even share, or ``LEAST_PERCENT`` of the limit where so much is unused."""

    def one(amount: int | None, gone: int, share: int | None) -> int | None:
        if amount is None:
            return None
        return max(share or 0, min(max(0, _shared(amount) - gone), amount * LEAST_PERCENT // 100))

    return Limit(one(limit.tokens, used.tokens, even.tokens), one(limit.pico, used.pico, even.pico))


def _shared(amount: int) -> int:
    return amount * (100 - KEPT_PERCENT) // 100


def width(most: int, at: Rung) -> int:
    """Return how many agents may run at once on a rung; 0: start no more."""
    if at == "partial":
        return 0
    return max(1, most // 2) if at == "fewer" else most


def tier_for(settings: TaskSettings, mode: Mode, at: Rung, *, agent: bool, planned: Tier | None = None) -> Tier:
    """Return the tier of a call: the plan's, else the settings' own, else by mode; one cheaper from that rung on.

    Agents' turns are most of the calls: small but for complex tasks, so that about half of all stay small.
    """
    if planned is not None:
        chosen = planned
    elif settings.tier is not None:
        chosen = settings.tier
    elif mode == "complex":
        chosen = "medium" if agent else "large"
    else:
        chosen = "small" if agent or mode == "simple" else "medium"
    return cheaper(chosen) if RUNGS.index(at) >= RUNGS.index("cheaper") else chosen


class Treasury:
    """A task's money as its workflow knows it; an object of one run, rebuilt by replay.

    ``keeps``: agents leave what is kept for a synthesis; ``some``: one of them has an answer, or is at its last try for
    one. A fork counts from its cut on: what came before, the cut's own outcome included, was paid by its parent.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._cuts = ctx.cuts
        self._told: Rung = "normal"
        self._promised: dict[str, Amount] = {}
        self.mode: Mode = "simple"
        self.keeps = False
        self.some = False
        self._used = Amount()
        self._bill = Bill()
        self.models: list[str] = []

    @property
    def used(self) -> Amount:
        """What counts against the limit."""
        self._cross()
        return self._used

    @property
    def bill(self) -> Bill:
        """What the calls have cost."""
        self._cross()
        return self._bill

    def _cross(self) -> None:
        if self._cuts != self._ctx.cuts:
            self._cuts, self._told = self._ctx.cuts, "normal"
            self._used, self._bill = Amount(), Bill()

    @property
    def limit(self) -> Limit:
        """The task's limit."""
        return self._ctx.settings.limit

    @property
    def rung(self) -> Rung:
        """How far down the ladder the task stands."""
        return rung(self.used, self._ctx.settings.limit)

    def book(self, spent: Spent) -> None:
        """Count a call; say so where it led down the ladder."""
        if spent.model not in self.models:
            self.models.append(spent.model)
        self._use(spent.amount, spent.bill)

    def lose(self, lost: Amount) -> None:
        """Count what a failed call may have cost, in full."""
        self._use(lost, Bill(lost_tokens=lost.tokens, lost_pico=lost.pico))

    def _use(self, amount: Amount, bill: Bill) -> None:
        self._cross()
        if not self._ctx.inherited:
            self._used += amount
            self._bill += bill
        self._ctx.publish("budget", BudgetView(self._used, self.limit, self.rung, self._bill))
        limit, at = self._ctx.settings.limit, self.rung
        if RUNGS.index(at) > RUNGS.index(self._told):
            self._told = at
            percent = share(self.used, limit)
            alert = BudgetAlert(at, percent, self.used.tokens, self.used.pico, limit.tokens, limit.pico)
            self._ctx.emit(EventKind.BUDGET_ALERT, alert)

    def terms(
        self,
        *,
        agent: bool = False,
        agent_limit: Limit = Limit(),  # noqa: B008 — frozen
        planned: Tier | None = None,
    ) -> Terms:
        """Return the terms of the next call; ``planned`` is the tier that the plan gives its agent task."""
        settings = self._ctx.settings
        return Terms(
            tier_for(settings, self.mode, self.rung, agent=agent, planned=planned),
            settings.model,
            settings.max_output,
            settings.temperature,
            settings.cache,
            settings.prompt_version,
            settings.request_limit,
            agent_limit,
            settings.limit,
        )

    def purse(self, agent: str, waiting: int, planned: Tier | None = None) -> "AgentPurse":
        """Promise an agent its share, as one of ``waiting`` that are still to start."""
        promised = sum(self._promised.values(), Amount())
        limit = self._ctx.settings.limit
        even = even_share(limit, self.used, promised, waiting)
        self._promised[agent] = Amount(even.tokens or 0, even.pico or 0)
        return AgentPurse(self, agent, allowance(limit, self.used, even), planned)

    def take(self, agent: str, spent: Spent) -> None:
        """Count an agent's call against what it was promised."""
        self._keep_promise(agent, spent.amount)
        self.book(spent)

    def lost(self, agent: str, lost: Amount) -> None:
        """Count an agent's failed call against what it was promised."""
        self._keep_promise(agent, lost)
        self.lose(lost)

    def _keep_promise(self, agent: str, taken: Amount) -> None:
        left = self._promised.get(agent, Amount())
        self._promised[agent] = Amount(max(0, left.tokens - taken.tokens), max(0, left.pico - taken.pico))

    def open_to(self, agent: Amount) -> Limit:
        """Return the most that an agent which has used so much may use, when it competes with the others."""
        limit = self.limit
        if not self.keeps or not self._ctx.patched(KEPT_BACK):
            return limit

        def one(amount: int | None, used: int, own: int) -> int | None:
            return None if amount is None else max(own, _shared(amount) - used + own)

        return Limit(one(limit.tokens, self.used.tokens, agent.tokens), one(limit.pico, self.used.pico, agent.pico))

    def close(self, agent: str) -> None:
        """An agent has ended: what it did not use flows back."""
        self._promised.pop(agent, None)


class AgentPurse:
    """One agent's view of the treasury (``agents.loop.Purse``)."""

    def __init__(self, treasury: Treasury, agent: str, limit: Limit, planned: Tier | None = None) -> None:
        self._treasury = treasury
        self._agent = agent
        self._limit = limit
        self._planned = planned
        self._own = Amount()

    def terms(self) -> Terms:
        """The terms of the agent's next call."""
        return self._treasury.terms(agent=True, agent_limit=self._limit, planned=self._planned)

    def book(self, spent: Spent) -> None:
        """The agent made a call."""
        self._own += spent.amount
        self._treasury.take(self._agent, spent)

    def lose(self, lost: Amount) -> None:
        """A call of the agent's failed that may have been billed so much."""
        self._own += lost
        self._treasury.lost(self._agent, lost)

    def widen(self) -> bool:
        """Lift the agent's own limit to what the others have left. Tell whether that is anything new.

        Its share was too small for one call. Rather than fail with money left, the agents compete for the rest.
        """
        open_to = self._treasury.open_to(self._own)
        widened, self._limit = self._limit != open_to, open_to
        return widened

    def spare(self) -> None:
        """Allow the agent all that the task has left, where no other has an answer, or is allowed as much for one."""
        if not self._treasury.some:
            self._treasury.some, self._limit = True, self._treasury.limit

    @property
    def last(self) -> bool:
        """Whether the next turn must be the last."""
        return self._treasury.rung == "partial"
