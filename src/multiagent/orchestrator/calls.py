"""The task workflow's own steps, as pure data: definitions and their records. Agents' steps are in ``agents.calls``."""

import msgspec

from multiagent.agents.calls import AgentResult, AskOutput, Spent, Terms
from multiagent.core.budget import Amount, Limit, Rung
from multiagent.core.plan import Mode, Plan
from multiagent.core.step import StepDef, StepPolicy
from multiagent.core.task import TaskResult, TaskStatus
from multiagent.core.usage import Bill


class BudgetView(msgspec.Struct, frozen=True):
    """A task's money as its outcomes have reported it, published as ``budget``; ``rung`` is the ladder's."""

    used: Amount
    limit: Limit
    rung: Rung
    bill: Bill


class AnalyzeInput(msgspec.Struct, frozen=True):
    """The thresholds; the query and its attachments are the task's own."""

    simple_below: float
    complex_from: float


class AnalyzeOutput(msgspec.Struct, frozen=True):
    """Complexity 0–1, the mode it leads to, why, and the tools that this task's user may be given."""

    score: float
    mode: Mode
    reasons: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    collaborate: bool = False


class DecomposeInput(msgspec.Struct, frozen=True):
    """Ask for a plan; with ``bad`` (the head of an invalid answer) and ``error``, ask to repair it."""

    terms: Terms
    max_nodes: int
    tools: tuple[str, ...]
    bad: str = ""
    error: str = ""


class DecomposeOutput(msgspec.Struct, frozen=True):
    """The plan, or what is wrong with the answer at ``head``."""

    head: str
    spent: Spent
    plan: Plan | None = None
    error: str = ""


class PartRef(msgspec.Struct, frozen=True):
    """One agent task's outcome for the synthesis; its text is that of the message at ``head``."""

    task: str
    title: str
    status: str
    head: str = ""
    sources: tuple[str, ...] = ()


class SynthesizeInput(msgspec.Struct, frozen=True):
    """Write one answer from these parts, saying what is missing."""

    terms: Terms
    parts: tuple[PartRef, ...]
    missing: tuple[str, ...] = ()


class SynthesizeOutput(msgspec.Struct, frozen=True):
    """The answer is the text of the message at ``head``; ``cut``: it ended at its length; ``empty``: no text."""

    head: str
    spent: Spent
    cut: bool = False
    empty: bool = False


class FinishInput(msgspec.Struct, frozen=True):
    """How the task ended. ``answer`` is the head of its answer; empty: put together from the finished agents'.

    ``started`` is in milliseconds UTC; ``model_calls`` and ``models`` count every call of the task.
    """

    status: TaskStatus
    mode: str
    answer: str
    agents: tuple[AgentResult, ...]
    model_calls: int
    models: tuple[str, ...]
    started: int
    partial: bool = False
    missing: tuple[str, ...] = ()
    code: str = ""
    message: str = ""


class PlannedInput(msgspec.Struct, frozen=True):
    """The end of a task that only plans: what it came to."""

    finish: FinishInput
    analysis: AnalyzeOutput
    plan: Plan


class AskPlanInput(msgspec.Struct, frozen=True):
    """Ask a person whether this plan may be run."""

    plan: Plan


_PURE = StepPolicy(attempt_timeout=60.0, deadline=300.0)
_MODEL = StepPolicy(attempt_timeout=600.0, deadline=600.0)

ANALYZE = StepDef("analyze", AnalyzeInput, AnalyzeOutput, "orchestrator", _PURE)
DECOMPOSE = StepDef("decompose", DecomposeInput, DecomposeOutput, "llm", _MODEL)
SYNTHESIZE = StepDef("synthesize", SynthesizeInput, SynthesizeOutput, "llm", _MODEL)
FINISH = StepDef("finish", FinishInput, TaskResult, "orchestrator", _PURE)
PLANNED = StepDef("planned", PlannedInput, TaskResult, "orchestrator", _PURE)
ASK_PLAN = StepDef("ask_plan", AskPlanInput, AskOutput, "orchestrator", _PURE)
