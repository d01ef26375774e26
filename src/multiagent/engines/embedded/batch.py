"""What one turn of a run wants committed, and what may begin once it is."""

from typing import Final

from multiagent.core.events import EventDraft, EventKind
from multiagent.engines.actions import (
    CancelStep,
    CancelTimer,
    Complete,
    Emit,
    Fail,
    RunStep,
    StartTimer,
    Yielded,
)
from multiagent.storage.sql.ops import AppendEvent, Op

LAST_EVENTS: Final = frozenset({EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED})


class Batch:
    """Operations in order, and the actions that wait for their commit."""

    __slots__ = ("_causes", "_signature", "acks", "cancels", "ending", "fed", "ops", "said_the_end", "steps", "timers",
                 "untimers")  # fmt: skip

    def __init__(self, tenant: str, task: str, principal: tuple[str, str]) -> None:
        self._signature = (tenant, task, *principal)
        self._causes: dict[str, str] = {}
        self.ops: list[Op] = []
        self.fed = 0
        self.steps: dict[str, RunStep] = {}
        self.timers: dict[str, StartTimer] = {}
        self.cancels: list[str] = []
        self.untimers: list[str] = []
        self.acks: list[str] = []
        self.said_the_end = False
        self.ending: Complete | Fail | None = None

    def absorb(self, yielded: Yielded, cause: str) -> None:
        """Take in what one outcome led to; what is asked for and cancelled within one batch is never begun."""
        for action in yielded.actions:
            if isinstance(action, Emit):
                self._emit(action, cause)
            elif isinstance(action, RunStep):
                self.steps[action.id] = action
                self._causes[action.id] = cause
            elif isinstance(action, StartTimer):
                self.timers[action.key] = action
            elif isinstance(action, CancelStep):
                if self.steps.pop(action.id, None) is None:
                    self.cancels.append(action.id)
            elif isinstance(action, CancelTimer):
                if self.timers.pop(action.key, None) is None:
                    self.untimers.append(action.key)
            else:
                self.ending = action

    def cause(self, step_id: str) -> str:
        """Return the key of the outcome that led to a step."""
        return self._causes.get(step_id, "")

    def _emit(self, emit: Emit, cause: str) -> None:
        self.said_the_end = self.said_the_end or emit.kind in LAST_EVENTS
        tenant, task, principal, on_behalf_of = self._signature
        draft = EventDraft(emit.key, emit.kind, emit.payload, emit.time, principal, on_behalf_of, cause)
        self.ops.append(AppendEvent(tenant=tenant, task=task, event=draft))
