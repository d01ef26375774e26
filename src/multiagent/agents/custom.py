"""Agents of one's own: what such an agent must be, and what it is given. This is all that user code needs to import.

An agent is an object with a ``name`` and three async methods; ``preprocess_task`` and ``postprocess_result`` are hooks
that it may have besides. It reaches models and tools through its ``Desk``: budget, policy and record hold for it too.
"""

from typing import Protocol, runtime_checkable

import msgspec


class AgentInput(msgspec.Struct, frozen=True):
    """The answer of a task that this one depends on."""

    task: str
    title: str
    text: str


class AgentTask(msgspec.Struct, frozen=True):
    """What is to be done. ``attachments`` and ``tools`` are names; ``query`` is the user's whole query."""

    id: str
    title: str
    instruction: str
    query: str = ""
    inputs: tuple[AgentInput, ...] = ()
    attachments: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


class AgentAnswer(msgspec.Struct, frozen=True):
    """What an agent found: Markdown, and the names of the attachments it rests on."""

    text: str
    sources: tuple[str, ...] = ()


class Health(msgspec.Struct, frozen=True):
    """Whether an agent can work. ``uptime_s`` is in seconds."""

    healthy: bool = True
    message: str = ""
    uptime_s: float = 0.0


class Observation(msgspec.Struct, frozen=True):
    """What a tool answered; ``is_error``: it failed, was refused, or was called wrongly."""

    content: str
    is_error: bool = False


class Desk(Protocol):
    """What an agent works with. Each call is made once: a second run after a crash finds its answers again."""

    async def ask(self, prompt: str, system: str = "") -> str:
        """Ask a model, on the task's terms. Raises BudgetExceeded, PolicyDenied, VendorError's children."""
        ...

    async def use(self, tool: str, arguments: dict[str, object]) -> Observation:
        """Use one of the task's tools, if policy allows it. A tool that needs a person's word is refused here."""
        ...


class CustomAgent(Protocol):
    """An agent of one's own."""

    name: str

    async def execute_task(self, task: AgentTask, desk: Desk) -> AgentAnswer:
        """Do the task. It may be run again after a crash; whatever it raises is the agent task's failure."""
        ...

    async def get_capabilities(self) -> list[str]:
        """What it can do, in a few words each."""
        ...

    async def health_check(self) -> Health:
        """Whether it can work; asked before each task."""
        ...


@runtime_checkable
class Preprocessing(Protocol):
    """An agent with a hook before its work: validation, enrichment, checks."""

    async def preprocess_task(self, task: AgentTask) -> AgentTask:
        """Return the task that is to be done."""
        ...


@runtime_checkable
class Postprocessing(Protocol):
    """An agent with a hook after its work."""

    async def postprocess_result(self, result: AgentAnswer) -> AgentAnswer:
        """Return the answer that is to be given."""
        ...
