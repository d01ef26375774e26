"""What workflow code gets to see of the kernel, and how a run begins."""

from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from multiagent.core.errors import WorkflowBroken, WorkflowTimeout
from multiagent.core.events import EventKind
from multiagent.core.settings import TaskSettings
from multiagent.core.step import StepDef
from multiagent.engines.base import Forked, Handle, Workflow
from multiagent.engines.fiber import Fiber, FinishWait, discard
from multiagent.engines.group import FiberGroup
from multiagent.engines.kernel import RESERVED, Kernel, always, decoder
from multiagent.engines.waits import SignalWait, TimerWait

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 — input
O = TypeVar("O")  # noqa: E741 — output


class KernelContext:
    """The kernel's ``Context``."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def settings(self) -> TaskSettings:
        """The settings in force now."""
        return self._kernel.settings

    async def step(self, definition: StepDef[I, O], input: I, key: str) -> O:  # noqa: A002 — the field's term
        """Run a step and return its committed result."""
        wait = self._kernel.issue(definition, input, key)
        await wait
        return cast("O", wait.value)

    def group(self) -> FiberGroup:
        """Return a new group, for ``async with``."""
        return FiberGroup(self._kernel)

    async def wait_any(self, handles: Sequence[Handle[Any]]) -> Handle[Any]:
        """Return the handle that finished first."""
        fibers = tuple(handle for handle in handles if isinstance(handle, Fiber))
        if not fibers:
            raise WorkflowBroken("wait_any needs at least one handle of a group's child")
        while not any(fiber.finished for fiber in fibers):
            wait = FinishWait(self._kernel, fibers)
            await wait
            self._kernel.left(wait)
        return min((fiber for fiber in fibers if fiber.finished), key=lambda fiber: fiber.finished)

    async def sleep(self, seconds: float) -> None:
        """A durable timer."""
        wait = TimerWait(self._kernel)
        wait.key = self._kernel.timer(seconds, wait)
        await wait

    async def timeout(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Return the work's value; cancel it and raise WorkflowTimeout (a TimeoutError) when the timer is first."""
        try:
            self._kernel.check_attached()
        except BaseException:
            discard(work)
            raise
        group = FiberGroup(self._kernel, keep=True)
        async with group:
            child = group.spawn(work)
            timer = group.spawn(self.sleep(seconds))
            first = await self.wait_any([child, timer])
            child.cancel()
            timer.cancel()
        if first is child:
            return child.result()
        raise WorkflowTimeout(f"the work did not end within {seconds:g} s")

    @property
    def cuts(self) -> int:
        """The number of forks in this run's past."""
        return self._kernel.cuts

    @property
    def inherited(self) -> bool:
        """Whether the outcome that is being handled is the one a fork was cut at."""
        return self._kernel.inherited

    async def wait_signal(self, name: str, *, crosses: bool = True) -> bytes:
        """Return the next signal of that name, also one that came before the wait."""
        if name.startswith(RESERVED):
            raise WorkflowBroken(f"signal names that begin with {RESERVED!r} are the platform's own")
        kernel = self._kernel
        if not crosses and kernel.outdated(name):
            raise Forked(name)
        arrived = kernel.signals.setdefault(name, deque())
        while not arrived:
            wait = SignalWait(kernel, name, crosses=crosses)
            kernel.signal_waits.setdefault(name, deque()).append(wait)
            try:
                await wait
            except BaseException:
                kernel.wake_signal(name)
                raise
        return arrived.popleft()

    def now(self) -> int:
        """Milliseconds UTC of the outcome that is being handled."""
        return self._kernel.time

    def uuid(self) -> str:
        """A deterministic ULID of this moment."""
        return self._kernel.name()

    def random(self) -> float:
        """A deterministic number in [0, 1)."""
        return self._kernel.unit()

    def emit(self, kind: EventKind, payload: msgspec.Struct) -> None:
        """Say that something happened."""
        self._kernel.emit(kind, payload)

    def publish(self, name: str, state: msgspec.Struct) -> None:
        """Set what a query of this name answers."""
        self._kernel.published[name] = state

    def patched(self, id: str) -> bool:  # noqa: A002 — the field's term
        """Whether this run takes the changed branch."""
        return self._kernel.patched(id)


def begin(
    workflow: Workflow[Any, Any],
    task: str,
    data: bytes,
    time: int,
    *,
    patches: Mapping[str, bool] | None = None,
    decide: Callable[[str], bool] | None = always,
) -> Kernel:
    """Start a run and bring it to its first rest.

    ``data`` is the input record as JSON. Its fields ``seed`` and ``settings`` seed and set the run, where it has
    them; otherwise the task's id seeds it. ``decide`` is asked about patches that have no record; None: none of
    those is taken. Raises msgspec.ValidationError where ``data`` does not fit.
    """
    record = decoder(workflow.input).decode(data)
    settings = getattr(record, "settings", None)
    kernel = Kernel(
        task,
        str(getattr(record, "seed", "") or task),
        time,
        settings if isinstance(settings, TaskSettings) else TaskSettings(),
        patches,
    )
    kernel.live = decide is not None
    kernel.decide = decide or always
    kernel.start(workflow.run(KernelContext(kernel), record))
    return kernel
