"""What a workflow's fiber waits for, beside other fibers: a step, a timer, a signal."""

from typing import Any

from multiagent.core.step import StepDef
from multiagent.engines.fiber import Scheduler, Wait


class StepWait(Wait):
    """Waits for a step's result; ``id`` is ``<key>~<hash8>``."""

    __slots__ = ("definition", "id", "value")

    def __init__(self, owner: Scheduler, step: str, definition: StepDef[Any, Any]) -> None:
        super().__init__(owner)
        self.id = step
        self.definition = definition
        self.value: object = None


class TimerWait(Wait):
    """Waits for a timer."""

    __slots__ = ("fired", "key")

    def __init__(self, owner: Scheduler) -> None:
        super().__init__(owner)
        self.key = ""
        self.fired = False


class SignalWait(Wait):
    """Waits until a signal of a name is there."""

    __slots__ = ("name",)

    def __init__(self, owner: Scheduler, name: str) -> None:
        super().__init__(owner)
        self.name = name
