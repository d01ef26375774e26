"""One agent's loop: workflow code that does what the state machine says, through ``Context`` alone."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from multiagent.agents import fsm
from multiagent.agents.calls import (
    ASK,
    CHECK,
    EXPIRE,
    REVIEW,
    RUN,
    THINK,
    AgentResult,
    AgentStatus,
    AgentView,
    AskInput,
    Brief,
    CheckInput,
    CheckOutput,
    ExpireInput,
    Note,
    ReviewInput,
    Ruling,
    RunInput,
    Spent,
    Terms,
    ThinkInput,
    ThinkOutput,
    Word,
)
from multiagent.core.budget import Amount
from multiagent.core.errors import Cancelled, StepFailed
from multiagent.core.events import EventKind
from multiagent.core.facts import AgentEnded, AgentStarted, AgentState
from multiagent.core.tool import ASK_USER
from multiagent.core.usage import Bill
from multiagent.engines.base import Context, Forked

ENDINGS: Final[Mapping[AgentStatus, EventKind]] = {
    "completed": EventKind.AGENT_COMPLETED,
    "failed": EventKind.AGENT_FAILED,
    "cancelled": EventKind.AGENT_CANCELLED,
}

NEEDED = "needed"
"""The value of ``approval`` in the details of a refusal that a person's word would lift."""

SHORT_ANSWER = "agent-short-answer"
"""The change by which an agent that cannot pay for its conversation answers from the opening of it."""

SHOWN = ("thinking", "acting", "waiting_approval")
"""The phases that are worth an event; the others last no time, and an agent that has started is thinking."""


class Purse(Protocol):
    """What the orchestrator tells an agent of money, and hears from it."""

    def terms(self) -> Terms:
        """The terms of the next model call."""
        ...

    def book(self, spent: Spent) -> None:
        """A call was made."""
        ...

    def lose(self, lost: Amount) -> None:
        """A call failed that may have been billed so much."""
        ...

    def widen(self) -> bool:
        """An agent's call was refused for want of money: allow it more; False where there is no more to allow."""
        ...

    def spare(self) -> None:
        """An agent asks for its last answer, a short one: allow it what is kept for others, where none needs it."""
        ...

    @property
    def last(self) -> bool:
        """Whether the budget is so far gone that the next turn must be the last."""
        ...


class Agent:
    """One agent task, from its brief to its result: an object of one workflow run, rebuilt by replay.

    ``ruling`` is what a review came to, None before it has.
    """

    def __init__(self, ctx: Context, brief: Brief, purse: Purse) -> None:
        self._ctx = ctx
        self._brief = brief
        self._purse = purse
        self._bounds = fsm.Bounds(brief.max_turns, brief.max_repeats)
        self._state = fsm.State()
        self._name = brief.seat.agent
        self._answer = ""
        self._head = ""
        self._notes: list[Note] = []
        self._sources: list[str] = []
        self._models: list[str] = []
        self._vendor = ""
        self._bill = Bill()
        self._checked = CheckOutput("invalid", "")
        self._edited = ""
        self._started = ctx.now()
        self.ruling: Ruling | None = None
        self._cuts = ctx.cuts
        self._round = 0
        self._short = False

    async def run(self) -> AgentResult:
        """Run to the end. Its own failures are a result; only cancellation is thrown, and then ``stopped`` is one."""
        terms = self._purse.terms()
        limit = terms.agent_limit
        title = self._brief.opening.title
        self._ctx.emit(EventKind.AGENT_STARTED, AgentStarted(self._name, title, terms.tier, limit.tokens, limit.pico))
        try:
            intent = self._advance(fsm.Begun(self._purse.last))
            while not isinstance(intent, fsm.Finish | fsm.Fail | fsm.Halt):
                intent = self._advance(await self._happen(intent))
        except Cancelled:
            self._advance(fsm.Stopped())
            raise
        return self._end(intent)

    def _advance(self, happening: fsm.Happening) -> fsm.Intent:
        self._pay(Bill())
        before = self._state.phase
        self._state, intent = fsm.advance(self._state, happening, self._bounds)
        self._show()
        if before not in ("idle", self._state.phase) and self._state.phase in SHOWN:
            doing = self._state.calls[self._state.at].name if self._state.calls else ""
            asks = self._state.phase == "waiting_approval" and doing == ASK_USER
            self._ctx.emit(
                EventKind.AGENT_STATE,
                AgentState(
                    self._name,
                    "waiting_input" if asks else self._state.phase,
                    self._state.turn,
                    doing,
                    self._bill.usage.total,
                    self._bill.cost_pico,
                ),
            )
        return intent

    def _show(self) -> None:
        """Let whoever looks at the run, now or at any cut of its past, see where this agent stands."""
        state, title = self._state, self._brief.opening.title
        calls = tuple(call.name for call in state.calls)
        view = AgentView(self._name, title, state.phase, state.turn, calls, state.at, self._head, self._bill)
        self._ctx.publish(f"agent/{self._name}", view)

    async def _happen(self, intent: fsm.Intent) -> fsm.Happening:
        """Do what the state machine wants; a step that failed for good is a happening too."""
        try:
            if isinstance(intent, fsm.Think):
                return await self._think(intent)
            if isinstance(intent, fsm.Check):
                return await self._check(intent)
            if isinstance(intent, fsm.Run):
                return await self._run(intent)
            if isinstance(intent, fsm.AskPerson):
                return await self._ask(intent)
        except StepFailed as error:
            return fsm.Broke(error.code, error.message)
        if isinstance(intent, fsm.Refuse):
            call = self._state.calls[intent.position]
            self._notes.append(Note(call.id, call.name, intent.text))
            return fsm.Observed()
        return fsm.Resumed(self._purse.last)

    async def _think(self, intent: fsm.Think) -> fsm.Happening:
        key = f"a/{self._name}/think/{intent.turn}"
        try:
            thought = await self._asked(intent, key)
        except StepFailed as error:
            if error.code != "BUDGET_EXCEEDED":
                raise
            thought = await self._for_less(intent, key, error)
        self._notes.clear()
        self._head = self._answer = thought.head
        spent = thought.spent
        self._pay(spent.bill)
        self._vendor = spent.vendor
        if spent.model not in self._models:
            self._models.append(spent.model)
        self._purse.book(spent)
        if self._short:
            return fsm.Thought((), thought.empty, fsm.CUT[0])
        return fsm.Thought(thought.calls, thought.empty, thought.finish)

    async def _for_less(self, intent: fsm.Think, key: str, refused: StepFailed) -> ThinkOutput:
        """Ask within what all have left; where that is too little, for an answer from the conversation's opening alone,
        without tools. Raises what refused the last of these.
        """
        if self._purse.widen():
            try:
                return await self._asked(intent, f"{key}/wider")
            except StepFailed as error:
                if error.code != "BUDGET_EXCEEDED":
                    raise
                refused = error
        if self._brief.review is not None or not self._ctx.patched(SHORT_ANSWER):
            raise refused
        self._purse.spare()
        self._head, self._short = "", True
        self._notes.clear()
        return await self._asked(fsm.Think(intent.turn, final=True, say=fsm.ANSWER_SHORT), f"{key}/short")

    async def _asked(self, intent: fsm.Think, key: str) -> ThinkOutput:
        try:
            return await self._said(self._turn(intent), key)
        except StepFailed as error:
            lost = lost_in(error)
            if lost != Amount():
                self._pay(Bill(lost_tokens=lost.tokens, lost_pico=lost.pico))
                self._purse.lose(lost)
            raise

    async def _said(self, turn: ThinkInput, key: str) -> ThinkOutput:
        review = self._brief.review
        if review is None:
            return await self._ctx.step(THINK, turn, key)
        output = await self._ctx.step(REVIEW, ReviewInput(review, turn), key)
        self.ruling = output.ruling
        return output.think

    def _turn(self, intent: fsm.Think) -> ThinkInput:
        return ThinkInput(
            self._brief.seat,
            self._purse.terms(),
            self._head,
            None if self._head else self._brief.opening,
            tuple(self._notes),
            intent.say,
            intent.final,
        )

    async def _check(self, intent: fsm.Check) -> fsm.Happening:
        given = CheckInput(self._brief.seat, self._answer, intent.position)
        self._edited, self._round = "", 0
        self._checked = await self._ctx.step(CHECK, given, self._key(intent.position, "check"))
        return fsm.Checked(self._checked.verdict, self._checked.reasons)

    async def _run(self, intent: fsm.Run) -> fsm.Happening:
        given = RunInput(self._brief.seat, self._answer, intent.position, self._head, self._checked, self._edited)
        self._pay(Bill(tool_calls=1))
        key = self._key(intent.position, "run")
        try:
            output = await self._ctx.step(RUN, given, key)
        except StepFailed as error:
            call = self._state.calls[intent.position]
            if error.code == "EFFECT_UNKNOWN":
                return fsm.Broke(error.code, fsm.EFFECT_UNKNOWN.format(tool=call.name, key=key))
            if error.code != "POLICY_DENIED":
                raise
            if error.details.get("approval") == NEEDED and self._ctx.cuts:
                return self._again(error.message)
            self._notes.append(Note(call.id, call.name, fsm.DENIED.format(reasons=error.message)))
            return fsm.Observed()
        self._head = output.head
        self._sources.extend(name for name in output.sources if name not in self._sources)
        return fsm.Observed()

    async def _ask(self, intent: fsm.AskPerson) -> fsm.Happening:
        """Wait for a person, durably; where nobody speaks in time, expire, unless a decision was first.

        A fork asks again: what was asked before its cut was asked about another task.
        """
        ctx, position = self._ctx, intent.position
        run = self._key(position, "run")
        given = AskInput(self._brief.seat, self._answer, position, run, self._checked)
        asked = await ctx.step(ASK, given, self._key(position, "ask"))
        left = max(0.0, (asked.expires - ctx.now()) / 1000)
        try:
            word = await ctx.timeout(left, heard(ctx, asked.approval))
        except Forked:
            self._round += 1
            return await self._ask(intent)
        except TimeoutError:
            word = await ctx.step(EXPIRE, ExpireInput(asked.approval), self._key(position, "expire"))
        if word.approved and word.hash not in ("", self._checked.hash):
            self._checked = msgspec.structs.replace(self._checked, hash=word.hash)
            self._edited = word.arguments
        reason = word.reason or ("nobody decided in time" if word.expired else f"{word.by or 'a person'} said no")
        return fsm.Decided(word.approved, reason)

    def _again(self, reason: str) -> fsm.Happening:
        """In a fork a call may need a person's word that it did not need, or had, before the cut."""
        self._round += 1
        self._checked = msgspec.structs.replace(self._checked, verdict="approve")
        return fsm.Checked("approve", (reason,))

    def _key(self, position: int, what: str) -> str:
        key = f"a/{self._name}/act/{self._state.turn}/{position}/{what}"
        return f"{key}/{self._round}" if self._round else key

    def _pay(self, bill: Bill) -> None:
        """Count what was used; a fork counts from its cut on, the rest was paid by its parent."""
        if self._cuts != self._ctx.cuts:
            self._cuts, self._bill = self._ctx.cuts, Bill()
        if not self._ctx.inherited:
            self._bill += bill

    def stopped(self) -> AgentResult:
        """Return how far a cancelled agent came, and what it used."""
        return self._close("cancelled", fsm.Fail("CANCELLED", "it was cancelled at its work"))

    def _end(self, intent: fsm.Finish | fsm.Fail | fsm.Halt) -> AgentResult:
        return self._close("completed" if isinstance(intent, fsm.Finish) else "failed", intent)

    def _close(self, status: AgentStatus, intent: fsm.Finish | fsm.Fail | fsm.Halt) -> AgentResult:
        failed = intent if isinstance(intent, fsm.Fail) else fsm.Fail("", "")
        result = AgentResult(
            self._name,
            self._brief.opening.title,
            status,
            self._answer if status == "completed" else "",
            tuple(self._sources),
            self._bill,
            tuple(self._models),
            self._vendor,
            isinstance(intent, fsm.Finish) and intent.partial,
            self._state.turn,
            self._started,
            self._ctx.now(),
            failed.code,
            failed.message,
            self._ctx.cuts,
        )
        kind = ENDINGS[status]
        self._ctx.emit(kind, ended(result))
        return result


def lost_in(error: StepFailed) -> Amount:
    """Return what the attempts of a failed model call may have cost, as its error says."""
    tokens, pico = error.details.get("lost_tokens"), error.details.get("lost_pico")
    return Amount(tokens if isinstance(tokens, int) else 0, pico if isinstance(pico, int) else 0)


def ended(result: AgentResult) -> AgentEnded:
    """Return how an agent task ended, as its event says it."""
    return AgentEnded(
        result.agent,
        result.title,
        result.bill.usage.total,
        result.bill.cost_pico,
        result.bill.saved_pico,
        result.ended - result.started,
        result.turns,
        result.bill.tool_calls,
        result.models,
        result.partial,
        result.code,
        result.message,
        result.bill.lost_tokens,
        result.bill.lost_pico,
    )


async def heard(ctx: Context, approval: str) -> Word:
    """Wait for a person's word on an approval; Forked where it was asked for before a fork's cut."""
    return msgspec.json.decode(await ctx.wait_signal(f"approval/{approval}", crosses=False), type=Word)
