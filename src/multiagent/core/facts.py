"""What the payloads of events hold: one small record a kind, read by the live view, audit and `tasks events`.

Tokens are counts, costs pico-dollars, times milliseconds. Fields may be added, never renamed.
"""

import msgspec


class TaskSubmitted(msgspec.Struct, frozen=True):
    """task.submitted."""

    query: str
    attachments: tuple[str, ...] = ()
    session: str = ""


class TaskStarted(msgspec.Struct, frozen=True):
    """task.started: under which limits, prompts and policy."""

    max_agents: int
    limit_tokens: int | None = None
    limit_pico: int | None = None
    prompt_version: str = ""
    policy_version: str = ""


class TaskAnalyzed(msgspec.Struct, frozen=True):
    """task.analyzed: the complexity score (0–1), the mode it leads to, and why."""

    score: float
    mode: str
    reasons: tuple[str, ...] = ()


class PlannedTask(msgspec.Struct, frozen=True):
    """One node of the plan."""

    id: str
    title: str
    depends_on: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()


class TaskPlanned(msgspec.Struct, frozen=True):
    """task.planned: the DAG; its edges are the nodes' ``depends_on``."""

    tasks: tuple[PlannedTask, ...]
    reason: str = ""
    degraded: bool = False


class TaskDegraded(msgspec.Struct, frozen=True):
    """task.degraded: the task goes on, with less than was asked for."""

    reason: str
    code: str = ""


class AgentStarted(msgspec.Struct, frozen=True):
    """agent.started."""

    agent: str
    title: str
    tier: str = ""
    limit_tokens: int | None = None
    limit_pico: int | None = None


class AgentState(msgspec.Struct, frozen=True):
    """agent.state: ``doing`` is the tool while acting; tokens and cost are the agent's so far."""

    agent: str
    state: str
    turn: int
    doing: str = ""
    tokens: int = 0
    cost_pico: int = 0


class AgentEnded(msgspec.Struct, frozen=True):
    """agent.completed, agent.failed, agent.cancelled: ``code`` and ``message`` are empty for a completed one."""

    agent: str
    title: str
    tokens: int = 0
    cost_pico: int = 0
    saved_pico: int = 0
    elapsed_ms: int = 0
    turns: int = 0
    tool_calls: int = 0
    models: tuple[str, ...] = ()
    partial: bool = False
    code: str = ""
    message: str = ""
    lost_tokens: int = 0
    lost_pico: int = 0


class AgentSkipped(msgspec.Struct, frozen=True):
    """agent.skipped."""

    agent: str
    title: str
    reason: str


class AgentRuled(msgspec.Struct, frozen=True):
    """agent.ruled: what a critic or judge (``role``) says of the answer of ``agent``; ``readable`` false: nothing."""

    agent: str
    role: str
    accept: bool
    reasons: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    readable: bool = True


class Believed(msgspec.Struct, frozen=True):
    """How sure an agent is of a statement (0–1)."""

    id: str
    text: str
    confidence: float


class AgentBelieves(msgspec.Struct, frozen=True):
    """agent.believes: what an agent holds after ``evidence``; ``best`` is the id of what it is sure enough of."""

    agent: str
    evidence: str
    hypotheses: tuple[Believed, ...]
    threshold: float
    best: str = ""


class BudgetAlert(msgspec.Struct, frozen=True):
    """budget.alert: the task went down the ladder to this rung (alert, cheaper, fewer, partial)."""

    rung: str
    percent: int
    tokens: int
    cost_pico: int
    limit_tokens: int | None = None
    limit_pico: int | None = None


class SynthesisStarted(msgspec.Struct, frozen=True):
    """synthesis.started: from so many finished agent tasks, and what is missing."""

    parts: int
    missing: tuple[str, ...] = ()


class TaskEnded(msgspec.Struct, frozen=True):
    """task.completed, task.failed, task.cancelled: the bill's sums, and why where it did not complete.

    ``lost_*`` may have been billed: calls whose end nobody saw.
    """

    tokens: int = 0
    cost_pico: int = 0
    saved_pico: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    elapsed_ms: int = 0
    models: tuple[str, ...] = ()
    partial: bool = False
    missing: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    lost_tokens: int = 0
    lost_pico: int = 0


class StepBegun(msgspec.Struct, frozen=True):
    """step.started: ``alone`` while no other step runs, because it may have taken its process down before."""

    step: str
    name: str
    attempt: int
    alone: bool = False


class StepEnded(msgspec.Struct, frozen=True):
    """step.completed, step.failed: ``code`` and ``message`` are empty for a completed one."""

    step: str
    name: str
    attempt: int
    elapsed_ms: int = 0
    code: str = ""
    message: str = ""


class TaskRecovered(msgspec.Struct, frozen=True):
    """task.recovered: a new process goes on with the task after so many outcomes."""

    outcomes: int


class TaskQuarantined(msgspec.Struct, frozen=True):
    """task.quarantined: today's code does not do what the journal says; nothing more of it runs."""

    code: str
    message: str


class TaskPaused(msgspec.Struct, frozen=True):
    """task.paused: no step begins from here on."""

    reason: str = ""


class TaskResumed(msgspec.Struct, frozen=True):
    """task.resumed."""


class TaskReleased(msgspec.Struct, frozen=True):
    """task.released: a quarantined task goes on, ``outcomes`` of its journal replayed by today's code."""

    outcomes: int


class TaskForked(msgspec.Struct, frozen=True):
    """task.forked: this log goes on as a run of its own, from ``cut`` of the parent's journal (its event ``seq``).

    ``step`` and ``pointer`` name what was edited there.
    """

    parent: str
    root: str
    cut: int
    seq: int
    step: str = ""
    pointer: str = ""


class MessageCompleted(msgspec.Struct, frozen=True):
    """message.completed: a model's whole answer is stored under ``head``."""

    purpose: str
    head: str
    finish: str
    tokens: int
    cost_pico: int
    vendor: str
    model: str
    agent: str = ""
    saved_pico: int = 0
    cached: str = ""
    lowered: int = 0
    estimated: bool = False


class ModelFallback(msgspec.Struct, frozen=True):
    """model.fallback: an endpoint failed, and it or another is asked, if any is left; ``billed``: it may have cost."""

    purpose: str
    endpoint: str
    code: str
    message: str
    billed: bool = True
    agent: str = ""


class ModelDenied(msgspec.Struct, frozen=True):
    """model.denied: policy let no model be asked, and why."""

    purpose: str
    reasons: tuple[str, ...] = ()
    agent: str = ""


class CacheHit(msgspec.Struct, frozen=True):
    """cache.hit: an earlier answer served; ``cache`` is exact or semantic, ``saved_pico`` what it would have cost."""

    purpose: str
    cache: str
    vendor: str
    model: str
    saved_pico: int = 0
    agent: str = ""


class BudgetLowered(msgspec.Struct, frozen=True):
    """budget.lowered: of the tokens that an answer was to have, so many were allowed, because no more fitted."""

    purpose: str
    asked: int
    allowed: int
    agent: str = ""


class BudgetOverrun(msgspec.Struct, frozen=True):
    """budget.overrun: the vendor billed more than the bound that was reserved for it; booked in full."""

    purpose: str
    vendor: str
    model: str
    tokens: int
    cost_pico: int
    agent: str = ""


class BudgetRefused(msgspec.Struct, frozen=True):
    """budget.refused: a call was not made; ``code`` is BUDGET_EXCEEDED or BUDGET_BUSY, ``scope`` (kind/id) said no."""

    purpose: str
    code: str
    message: str
    scope: str = ""
    agent: str = ""


class ToolChecked(msgspec.Struct, frozen=True):
    """tool.checked, tool.denied: what was decided on a call, with the hash of its arguments."""

    agent: str
    tool: str
    verdict: str
    arguments_hash: str
    reasons: tuple[str, ...] = ()


class ToolEnded(msgspec.Struct, frozen=True):
    """tool.completed, tool.failed: ``head`` is the stored observation, ``size`` its characters."""

    agent: str
    tool: str
    head: str
    size: int
    sources: tuple[str, ...] = ()
    metrics: dict[str, float] = {}


class ApprovalAsked(msgspec.Struct, frozen=True):
    """approval.requested: where the call stands (``position`` of the message ``answer``), and what its agent may use.
    For a plan, ``tool`` is "plan" and there is no agent; ``question`` is what an agent asks its user.
    """

    approval: str
    agent: str
    tool: str
    arguments_hash: str
    reasons: tuple[str, ...]
    expires: int
    answer: str = ""
    position: int = 0
    tools: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    question: str = ""


class ApprovalEnded(msgspec.Struct, frozen=True):
    """approval.decided, approval.expired; ``arguments_hash`` where the decision bound it to other arguments."""

    approval: str
    state: str
    by: str = ""
    reason: str = ""
    arguments_hash: str = ""
