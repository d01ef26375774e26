"""The steps an agent takes, as pure data: definitions and their records. Inputs hold references, never a transcript.

Keys, with ``<a>`` the agent's id, ``<n>`` its turn and ``<i>`` the position of a call in the answer:
``a/<a>/think/<n>`` (and ``…/wider``, asked again once it may use more of the budget), ``a/<a>/act/<n>/<i>/check``,
``…/ask``, ``…/expire``, ``…/run``; ``a/<a>/employ`` for an agent of the user's own.
"""

from typing import Literal

import msgspec

from multiagent.core.budget import Amount, Limit
from multiagent.core.step import StepDef, StepPolicy
from multiagent.core.task import Source
from multiagent.core.tier import Tier
from multiagent.core.usage import Bill, Usage

AgentStatus = Literal["completed", "failed", "skipped", "cancelled"]
Verdict = Literal["allow", "deny", "approve", "invalid"]
ReviewRole = Literal["critique", "judge"]


class Terms(msgspec.Struct, frozen=True):
    """On what terms a model is asked: the part of the settings, and of the budget split, that one call needs.

    ``model`` empty means: routed by tier. Limits are those of the scopes of this request, agent and task.
    """

    tier: Tier
    model: str = ""
    max_output: int = 2048
    temperature: float = 0.0
    cache: bool = True
    prompt_version: str = "1"
    request_limit: Limit = Limit()
    agent_limit: Limit = Limit()
    task_limit: Limit = Limit()


class Seat(msgspec.Struct, frozen=True):
    """What an agent may use: names of tools and of attachments."""

    agent: str
    tools: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """A finished dependency: its answer is the text of the message at ``head``."""

    task: str
    title: str
    head: str


class Opening(msgspec.Struct, frozen=True):
    """What an agent is told at first; ``missing`` says which dependencies brought nothing."""

    title: str
    instruction: str
    turns: int
    inputs: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()


class CallRef(msgspec.Struct, frozen=True):
    """A tool call in a stored answer: the hash is of its arguments as canonical JSON."""

    id: str
    name: str
    hash: str


class Note(msgspec.Struct, frozen=True):
    """The observation of a call that did not run: denied, invalid, or refused as a repetition."""

    call: str
    name: str
    text: str


class Spent(msgspec.Struct, frozen=True):
    """What a model call used and which model answered; ``lost_*`` its failed attempts may have cost besides."""

    usage: Usage
    cost_pico: int
    saved_pico: int
    vendor: str
    model: str
    cached: str = ""
    lowered: int = 0
    lost_tokens: int = 0
    lost_pico: int = 0

    @property
    def amount(self) -> Amount:
        """As the budget counts it: what is lost counts in full, what a cache served was not used again."""
        return Amount(self.used.total + self.lost_tokens, self.cost_pico + self.lost_pico)

    @property
    def used(self) -> Usage:
        """The tokens that were bought; a completion found again after a crash was bought once, here."""
        return Usage() if self.cached in ("exact", "semantic") else self.usage

    @property
    def bill(self) -> Bill:
        """As one model call of a bill."""
        return Bill(self.used, self.cost_pico, self.saved_pico, self.lost_tokens, self.lost_pico, model_calls=1)


class ThinkInput(msgspec.Struct, frozen=True):
    """One turn: at the first, ``opening`` is set and ``head`` empty; later, the chain so far.

    ``notes`` are observations to add, ``say`` is added as a user's message; ``final``: no tools may be called.
    """

    seat: Seat
    terms: Terms
    head: str = ""
    opening: Opening | None = None
    notes: tuple[Note, ...] = ()
    say: str = ""
    final: bool = False


class ThinkOutput(msgspec.Struct, frozen=True):
    """The chain's new head, the tool calls asked for, and whether there was any text."""

    head: str
    finish: str
    spent: Spent
    calls: tuple[CallRef, ...] = ()
    empty: bool = False


class CheckInput(msgspec.Struct, frozen=True):
    """Whether this agent may make the call at ``position`` of the answer at ``answer``."""

    seat: Seat
    answer: str
    position: int


class CheckOutput(msgspec.Struct, frozen=True):
    """What the runner decided; ``hash`` binds what follows to these very arguments."""

    verdict: Verdict
    hash: str
    reasons: tuple[str, ...] = ()


class RunInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """Run the call at ``position`` of the answer at ``answer``; its observation follows ``head``.

    ``edited`` are the arguments (JSON) that a person put in the place of the model's; ``checked`` is then of them.
    """

    seat: Seat
    answer: str
    position: int
    head: str
    checked: CheckOutput
    edited: str = ""


class RunOutput(msgspec.Struct, frozen=True):
    """The chain's new head (the observation), and the attachments that the tool opened."""

    head: str
    is_error: bool = False
    sources: tuple[str, ...] = ()


class AskInput(msgspec.Struct, frozen=True):
    """Ask a person about the call at ``position``; ``run`` is the key of the step that will use the approval."""

    seat: Seat
    answer: str
    position: int
    run: str
    checked: CheckOutput


class AskOutput(msgspec.Struct, frozen=True):
    """The approval's id, and when it expires (ms UTC)."""

    approval: str
    expires: int


class ExpireInput(msgspec.Struct, frozen=True):
    """Nobody decided in time: expire the approval, unless a decision was first."""

    approval: str


class Word(msgspec.Struct, frozen=True):
    """A person's decision, as the signal ``approval/<id>`` carries it and as ``EXPIRE`` answers it.

    ``hash`` and ``arguments`` (JSON) are those that were approved, which may not be those that were asked about.
    """

    approved: bool
    by: str = ""
    reason: str = ""
    expired: bool = False
    arguments: str = ""
    hash: str = ""


class Review(msgspec.Struct, frozen=True):
    """What an agent rules on: the answer that is the text of the message at ``answer``."""

    role: ReviewRole
    answer: str


class Ruling(msgspec.Struct, frozen=True):
    """What a critic or a judge says of an answer."""

    accept: bool
    reasons: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()


class ReviewInput(msgspec.Struct, frozen=True):
    """One turn of a critic or a judge; ``think`` as for any agent."""

    review: Review
    think: ThinkInput


class ReviewOutput(msgspec.Struct, frozen=True):
    """What the turn came to; ``ruling`` where it ended the review, and ``error`` where that could not be read."""

    think: ThinkOutput
    ruling: Ruling | None = None
    error: str = ""


class EmployInput(msgspec.Struct, frozen=True):
    """Have an agent of the user's own, by its name, do a task."""

    agent: str
    seat: Seat
    terms: Terms
    opening: Opening


class EmployOutput(msgspec.Struct, frozen=True):
    """Its answer is the text of the message at ``head``; ``spent`` is each of its model calls, ``calls`` of tools."""

    head: str
    spent: tuple[Spent, ...] = ()
    sources: tuple[str, ...] = ()
    calls: int = 0


class Brief(msgspec.Struct, frozen=True):
    """One agent task, as the orchestrator hands it to the loop; ``review`` makes it a review of an answer."""

    seat: Seat
    opening: Opening
    max_turns: int
    max_repeats: int
    review: Review | None = None


class AgentResult(msgspec.Struct, frozen=True):
    """How an agent task ended. Its answer is the text of the message at ``head`` (empty: none).

    ``partial``: it answered before it was done. ``started`` and ``ended`` are milliseconds UTC. ``cuts`` is how many
    forks were in its run's past when it ended: its bill is that of the task it ended in.
    """

    agent: str
    title: str
    status: AgentStatus
    head: str = ""
    sources: tuple[str, ...] = ()
    bill: Bill = Bill()
    models: tuple[str, ...] = ()
    vendor: str = ""
    partial: bool = False
    turns: int = 0
    started: int = 0
    ended: int = 0
    code: str = ""
    message: str = ""
    cuts: int = 0

    def billed(self, cuts: int) -> Bill:
        """Return what it cost a task with so many forks in its past."""
        return self.bill if self.cuts == cuts else Bill()


class AgentView(msgspec.Struct, frozen=True):
    """Where an agent stands, published as ``agent/<id>``: ``calls`` are those of its last answer, ``at`` the one in
    hand, ``head`` its transcript's, ``bill`` what its outcomes have reported.
    """

    agent: str
    title: str
    phase: str
    turn: int
    calls: tuple[str, ...] = ()
    at: int = 0
    head: str = ""
    bill: Bill = Bill()


def reviewer(agent: str, role: ReviewRole, number: int) -> str:
    """Return the name of who makes the review of this number at an agent task."""
    return f"{agent}.{'judge' if role == 'judge' else 'critic'}{number}"


def reviews(agent: str) -> bool:
    """Whether this is the name of a critic or judge; the ids of agent tasks have no dot."""
    return agent.partition(".")[2].startswith(("critic", "judge"))


def sources_of(results: tuple[AgentResult, ...]) -> tuple[Source, ...]:
    """Return the attachments that agents opened, by name, each with the agents that used it."""
    used: dict[str, list[str]] = {}
    for result in results:
        for name in result.sources:
            used.setdefault(name, []).append(result.agent)
    return tuple(Source(name, "attachment", tuple(used[name])) for name in sorted(used))


_MODEL = StepPolicy(attempt_timeout=600.0, deadline=600.0)
_TOOL = StepPolicy(attempt_timeout=180.0, deadline=600.0)
_QUICK = StepPolicy(attempt_timeout=30.0, deadline=120.0)

THINK = StepDef("think", ThinkInput, ThinkOutput, "llm", _MODEL)
REVIEW = StepDef("review", ReviewInput, ReviewOutput, "llm", _MODEL)
EMPLOY = StepDef("employ", EmployInput, EmployOutput, "agent", _MODEL)
CHECK = StepDef("check", CheckInput, CheckOutput, "agent", _QUICK)
RUN = StepDef("run", RunInput, RunOutput, "agent", _TOOL)
ASK = StepDef("ask", AskInput, AskOutput, "agent", _QUICK)
EXPIRE = StepDef("expire", ExpireInput, Word, "agent", _QUICK)
