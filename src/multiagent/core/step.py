"""A step: the journaled unit of work.

Its definition is pure data; its code is registered by the process that runs it.
"""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from multiagent.core.retry import Backoff

I = TypeVar("I")  # noqa: E741 — input of a step
O = TypeVar("O")  # noqa: E741 — output of a step

Queue = Literal["orchestrator", "agent", "llm", "ledger"]


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """How long a step may take, in seconds. There is no attempt count: only lost workers and the platform's own
    ``STORAGE_*``/``ENGINE_*`` errors are retried, until ``deadline``, which counts time with a live owner.
    """

    attempt_timeout: float = 120.0
    deadline: float = 600.0
    heartbeat: float | None = None
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class StepDef(Generic[I, O]):
    """Name, input and output record types (msgspec Structs), the queue that runs it, and its time limits."""

    name: str
    input: type[I]
    output: type[O]
    queue: Queue
    policy: StepPolicy = field(default_factory=StepPolicy)
