"""What a task's events add up to: the state that the live view draws. Pure; times are milliseconds."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from multiagent.core import facts
from multiagent.core.events import Event, EventKind
from multiagent.core.money import show_usd

_Fact = TypeVar("_Fact", bound=msgspec.Struct)


class AgentView(msgspec.Struct):
    """One agent task as seen so far."""

    id: str
    title: str
    depends_on: tuple[str, ...] = ()
    state: str = "planned"
    doing: str = ""
    tokens: int = 0
    cost_pico: int = 0
    started: int = 0
    ended: int = 0
    message: str = ""

    def elapsed(self, now: int) -> int:
        """Milliseconds at work until ``now`` or its end."""
        return (self.ended or now) - self.started if self.started else 0


class View(msgspec.Struct):
    """One task as seen so far."""

    task: str
    status: str = "queued"
    mode: str = ""
    score: float = 0.0
    reasons: tuple[str, ...] = ()
    agents: dict[str, AgentView] = {}
    notes: list[str] = []
    models: tuple[str, ...] = ()
    started: int = 0
    ended: int = 0
    seq: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all agents so far."""
        return sum(agent.tokens for agent in self.agents.values())

    @property
    def cost_pico(self) -> int:
        """Cost of all agents so far."""
        return sum(agent.cost_pico for agent in self.agents.values())


def apply(view: View, event: Event) -> str:
    """Take one event into the view; return the line that a log would show for it, or nothing."""
    view.seq = event.header.seq
    fold = _FOLDS.get(event.header.kind)
    if fold is None or not event.payload:
        return ""
    return fold(view, event)


def _read(event: Event, kind: type[_Fact]) -> _Fact:
    return msgspec.json.decode(event.payload, type=kind)


def _agent(view: View, agent: str, title: str = "") -> AgentView:
    if agent not in view.agents:
        view.agents[agent] = AgentView(agent, title or agent)
    return view.agents[agent]


def _started(view: View, event: Event) -> str:
    view.status, view.started = "running", event.header.time
    return "started"


def _recovered(view: View, _event: Event) -> str:
    view.status = "running"
    return "taken up again where it stopped"


def _analyzed(view: View, event: Event) -> str:
    fact = _read(event, facts.TaskAnalyzed)
    view.mode, view.score, view.reasons = fact.mode, fact.score, fact.reasons
    return f"complexity {fact.score:.2f}: {fact.mode}"


def _planned(view: View, event: Event) -> str:
    fact = _read(event, facts.TaskPlanned)
    for node in fact.tasks:
        _agent(view, node.id, node.title).depends_on = node.depends_on
    return f"planned {len(fact.tasks)} agent task{'s' if len(fact.tasks) != 1 else ''}"


def _degraded(view: View, event: Event) -> str:
    fact = _read(event, facts.TaskDegraded)
    view.notes.append(fact.reason)
    return f"goes on with less: {fact.reason}"


def _agent_started(view: View, event: Event) -> str:
    fact = _read(event, facts.AgentStarted)
    agent = _agent(view, fact.agent, fact.title)
    agent.state, agent.started = "thinking", event.header.time
    return f"{fact.agent} started: {fact.title}"


def _agent_state(view: View, event: Event) -> str:
    fact = _read(event, facts.AgentState)
    agent = _agent(view, fact.agent)
    agent.state, agent.doing = fact.state, fact.doing
    agent.tokens, agent.cost_pico = fact.tokens, fact.cost_pico
    return f"{fact.agent} {fact.state}{' ' + fact.doing if fact.doing else ''}"


def _agent_ended(view: View, event: Event) -> str:
    fact = _read(event, facts.AgentEnded)
    agent = _agent(view, fact.agent, fact.title)
    agent.state = event.header.kind.removeprefix("agent.")
    agent.doing, agent.message, agent.ended = "", fact.message, event.header.time
    agent.tokens, agent.cost_pico = fact.tokens, fact.cost_pico
    why = f": {fact.message}" if fact.message else ""
    return f"{fact.agent} {agent.state}, {fact.tokens} tokens, {show_usd(fact.cost_pico)}{why}"


def _ruled(_view: View, event: Event) -> str:
    fact = _read(event, facts.AgentRuled)
    who = "a judge" if fact.role == "judge" else "a critic"
    if not fact.readable:
        return f"{fact.agent}: {who} gave no ruling: {'; '.join(fact.reasons)}"
    said = "; ".join(fact.reasons if fact.accept else (*fact.reasons, *fact.corrections))
    return f"{fact.agent}: {who} {'accepts' if fact.accept else 'rejects'} the answer: {said}"


def _believes(_view: View, event: Event) -> str:
    fact = _read(event, facts.AgentBelieves)
    sure = ", ".join(f"{one.id} {one.confidence:.0%}" for one in fact.hypotheses)
    return f"{fact.agent} believes: {sure} (needs {fact.threshold:.0%}), after: {fact.evidence}"


def _agent_skipped(view: View, event: Event) -> str:
    fact = _read(event, facts.AgentSkipped)
    agent = _agent(view, fact.agent, fact.title)
    agent.state, agent.message = "skipped", fact.reason
    return f"{fact.agent} skipped: {fact.reason}"


def _alert(view: View, event: Event) -> str:
    fact = _read(event, facts.BudgetAlert)
    view.notes.append(f"{fact.percent}% of the budget is used ({fact.rung})")
    return view.notes[-1]


def _by(agent: str, purpose: str) -> str:
    return agent or purpose


def _fallback(_view: View, event: Event) -> str:
    fact = _read(event, facts.ModelFallback)
    return f"{_by(fact.agent, fact.purpose)}: {fact.endpoint} failed: {fact.message}"


def _cache_hit(_view: View, event: Event) -> str:
    fact = _read(event, facts.CacheHit)
    who = _by(fact.agent, fact.purpose)
    return f"{who}: an earlier answer of {fact.model} served ({fact.cache} cache), {show_usd(fact.saved_pico)} saved"


def _lowered(view: View, event: Event) -> str:
    fact = _read(event, facts.BudgetLowered)
    who = _by(fact.agent, fact.purpose)
    view.notes.append(f"{who}: the budget allows an answer of {fact.allowed} tokens, not {fact.asked}")
    return view.notes[-1]


def _overrun(view: View, event: Event) -> str:
    fact = _read(event, facts.BudgetOverrun)
    told = f"{fact.tokens} tokens, {show_usd(fact.cost_pico)}"
    view.notes.append(f"{fact.vendor} billed {fact.model} above the bound that was reserved: {told}")
    return view.notes[-1]


def _refused(_view: View, event: Event) -> str:
    fact = _read(event, facts.BudgetRefused)
    return f"{_by(fact.agent, fact.purpose)}: {fact.message}"


def _model_denied(_view: View, event: Event) -> str:
    fact = _read(event, facts.ModelDenied)
    return f"{_by(fact.agent, fact.purpose)} may ask no model: {'; '.join(fact.reasons)}"


def _denied(_view: View, event: Event) -> str:
    fact = _read(event, facts.ToolChecked)
    return f"{fact.agent} may not use {fact.tool}: {'; '.join(fact.reasons)}"


def _approval(view: View, event: Event) -> str:
    fact = _read(event, facts.ApprovalAsked)
    view.status = "waiting"
    how = f"; see: multiagent approvals show {fact.approval}"
    if fact.question:
        _agent(view, fact.agent).state = "waiting_input"
        return f"{fact.agent} asks: {fact.question} (multiagent tasks answer {event.header.task} TEXT)"
    if not fact.agent:
        return f"the plan waits for approval{how}"
    _agent(view, fact.agent).state = "waiting_approval"
    return f"{fact.agent} waits for approval of {fact.tool}{how}"


def _decided(view: View, event: Event) -> str:
    fact = _read(event, facts.ApprovalEnded)
    view.status = "running"
    edited = ", with other arguments" if fact.arguments_hash else ""
    return f"{fact.state}{f' by {fact.by}' if fact.by else ''}{edited}{f': {fact.reason}' if fact.reason else ''}"


def _paused(view: View, event: Event) -> str:
    fact = _read(event, facts.TaskPaused)
    view.status = "paused"
    return f"paused{f': {fact.reason}' if fact.reason else ''}"


def _resumed(view: View, _event: Event) -> str:
    view.status = "running"
    return "goes on"


def _synthesis(_view: View, event: Event) -> str:
    fact = _read(event, facts.SynthesisStarted)
    return f"writing the answer from {fact.parts} result{'s' if fact.parts != 1 else ''}"


def _ended(view: View, event: Event) -> str:
    fact = _read(event, facts.TaskEnded)
    view.status = event.header.kind.removeprefix("task.")
    view.ended, view.models = event.header.time, fact.models
    why = f": {fact.message}" if fact.message else ""
    return f"{view.status}, {fact.tokens} tokens, {show_usd(fact.cost_pico)}{why}"


_FOLDS: Final[dict[EventKind, Callable[[View, Event], str]]] = {
    EventKind.TASK_STARTED: _started,
    EventKind.TASK_RECOVERED: _recovered,
    EventKind.TASK_ANALYZED: _analyzed,
    EventKind.TASK_PLANNED: _planned,
    EventKind.TASK_DEGRADED: _degraded,
    EventKind.AGENT_STARTED: _agent_started,
    EventKind.AGENT_STATE: _agent_state,
    EventKind.AGENT_COMPLETED: _agent_ended,
    EventKind.AGENT_FAILED: _agent_ended,
    EventKind.AGENT_CANCELLED: _agent_ended,
    EventKind.AGENT_SKIPPED: _agent_skipped,
    EventKind.AGENT_RULED: _ruled,
    EventKind.AGENT_BELIEVES: _believes,
    EventKind.BUDGET_ALERT: _alert,
    EventKind.BUDGET_LOWERED: _lowered,
    EventKind.BUDGET_OVERRUN: _overrun,
    EventKind.BUDGET_REFUSED: _refused,
    EventKind.CACHE_HIT: _cache_hit,
    EventKind.MODEL_FALLBACK: _fallback,
    EventKind.MODEL_DENIED: _model_denied,
    EventKind.TOOL_DENIED: _denied,
    EventKind.APPROVAL_REQUESTED: _approval,
    EventKind.APPROVAL_DECIDED: _decided,
    EventKind.APPROVAL_EXPIRED: _decided,
    EventKind.TASK_PAUSED: _paused,
    EventKind.TASK_RESUMED: _resumed,
    EventKind.SYNTHESIS_STARTED: _synthesis,
    EventKind.TASK_COMPLETED: _ended,
    EventKind.TASK_FAILED: _ended,
    EventKind.TASK_CANCELLED: _ended,
    EventKind.TASK_QUARANTINED: _ended,
}
