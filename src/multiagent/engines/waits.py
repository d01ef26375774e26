"""What a workflow's fiber waits for, beside other fibers: a step, a timer, a signal."""

from multiagent.engines.actions import RunStep
from multiagent.engines.fiber import Scheduler, Wait


class StepWait(Wait):
    """Waits for the result of the step that was asked for; ``id`` is ``<key>~<hash8>``."""

    __slots__ = ("action", "id", "value")

    def __init__(self, owner: Scheduler, action: RunStep) -> None:
        super().__init__(owner)
        self.id = action.id
        self.action = action
        self.value: object = None


class TimerWait(Wait):
    """Waits for a timer."""

    __slots__ = ("fired", "key")

    def __init__(self, owner: Scheduler) -> None:
        super().__init__(owner)
        self.key = ""
        self.fired = False


class SignalWait(Wait):
    """Waits until a signal of a name is there; one that does not cross a cut ends with Forked in a fork."""

    __slots__ = ("crosses", "name")

    def __init__(self, owner: Scheduler, name: str, *, crosses: bool = True) -> None:
        super().__init__(owner)
        self.name = name
        self.crosses = crosses
