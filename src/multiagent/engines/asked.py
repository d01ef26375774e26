"""What one turn of a run asks for: steps and timers to begin or to stop, events to tell, and whether it has ended."""

from collections.abc import Callable
from typing import Final

from multiagent.core.events import EventDraft, EventKind
from multiagent.engines.actions import CancelStep, CancelTimer, Complete, Emit, Fail, RunStep, StartTimer, Yielded
from multiagent.engines.kernel import Kernel

LAST_EVENTS: Final = frozenset({EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED})


class Asked:
    """The actions of a turn, in order. ``tell`` is given each event; ``principal`` is who acts and on whose behalf."""

    __slots__ = ("_causes", "_principal", "_tell", "cancels", "ending", "said_the_end", "steps", "timers", "untimers")

    def __init__(self, principal: tuple[str, str], tell: Callable[[EventDraft], None]) -> None:
        self._principal = principal
        self._tell = tell
        self._causes: dict[str, str] = {}
        self.steps: dict[str, RunStep] = {}
        self.timers: dict[str, StartTimer] = {}
        self.cancels: list[str] = []
        self.untimers: list[str] = []
        self.said_the_end = False
        self.ending: Complete | Fail | None = None

    def absorb(self, yielded: Yielded, cause: str) -> None:
        """Take in what one outcome led to; what is asked for and cancelled within one turn is never begun."""
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

    def absorb_pending(self, kernel: Kernel) -> None:
        """Take in what a run had asked for before its last row and has no answer to."""
        for action in kernel.pending():
            if isinstance(action, RunStep):
                self.steps.setdefault(action.id, action)
            else:
                self.timers.setdefault(action.key, action)

    def cause(self, step_id: str) -> str:
        """Return the key of the outcome that led to a step."""
        return self._causes.get(step_id, "")

    def _emit(self, emit: Emit, cause: str) -> None:
        self.said_the_end = self.said_the_end or emit.kind in LAST_EVENTS
        self._tell(EventDraft(emit.key, emit.kind, emit.payload, emit.time, *self._principal, cause))
