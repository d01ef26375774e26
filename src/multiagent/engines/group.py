"""Structured children: a block that ends when all of them have ended."""

from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from multiagent.core.errors import Cancelled, NonDeterminism, PlatformError, WorkflowBroken
from multiagent.engines.fiber import Fiber, FinishWait, Scheduler, Wait, discard

T = TypeVar("T")


class Interrupt(Cancelled):
    """Thrown into the body of a group whose child failed; the group turns it into the child's error."""

    def __init__(self, group: "FiberGroup") -> None:
        super().__init__("a child of the group failed")
        self.group = group


class ExitWait(Wait):
    """Waits until no child is alive."""

    __slots__ = ()


class FiberGroup:
    """The kernel's ``Group``; with ``keep`` every error stays in its handle."""

    def __init__(self, owner: Scheduler, *, keep: bool = False) -> None:
        self._owner = owner
        self._keep = keep
        self._host: Fiber[Any] | None = None
        self._open = False
        self._exit: ExitWait | None = None
        self._children: dict[int, Fiber[Any]] = {}
        self._contained: set[int] = set()
        self._error: BaseException | None = None
        self._closing = False
        self._was_cancelled = False

    def spawn(self, child: Coroutine[Any, Any, T], *, contain: bool = False) -> Fiber[T]:
        """Start a child; one spawned after the group failed or was cancelled never runs."""
        if not self._open or self._owner.detached:
            discard(child)
            self._owner.check_attached()
            raise WorkflowBroken("a child is spawned outside its group's `async with` block")
        fiber = self._owner.spawn(child)
        fiber.on_finish = self._finished
        self._children[fiber.number] = fiber
        if contain:
            self._contained.add(fiber.number)
        if self._closing:
            fiber.cancel()
        return fiber

    def _finished(self, fiber: Fiber[Any]) -> None:
        del self._children[fiber.number]
        error = fiber.error
        if error is not None and not isinstance(error, Cancelled) and not self._keeps(fiber, error):
            self._fail(fiber, error)
        if self._exit is not None and not self._children:
            self._owner.wake(self._exit)

    def _keeps(self, fiber: Fiber[Any], error: BaseException) -> bool:
        return self._keep or (fiber.number in self._contained and containable(error))

    def _fail(self, fiber: Fiber[Any], error: BaseException) -> None:
        if self._error is not None or self._closing:
            self._error = self._error or error
            return
        self._error = error
        self._cancel_children()
        host = self._host
        if host is None or self._exit is not None:
            return
        wait = host.waiting
        if isinstance(wait, FinishWait) and fiber in wait.fibers:
            host.interrupt = Interrupt(self)  # it learns of the error now, and may not wait again in this block
        else:
            self._owner.throw(host, Interrupt(self))

    def _cancel_children(self) -> None:
        self._closing = True
        for child in list(self._children.values()):
            child.cancel()

    async def __aenter__(self) -> Self:
        if self._host is not None:
            raise WorkflowBroken("a group is entered twice; make a new one with ctx.group()")
        self._host = self._owner.current
        self._was_cancelled = self._host is not None and self._host.cancelled
        self._open = True
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if self._owner.detached:
            return False
        if error is not None:
            self._cancel_children()
        self._forget_interrupt()
        late = await self._drain()
        self._open = False
        raised = error if error is not None else late
        if self._error is not None and not self._is_foreign_cancel(raised):
            if raised is None or isinstance(raised, Cancelled):
                raise self._error from None
            return False
        if late is not None and error is None:
            raise late
        return False

    async def _drain(self) -> Cancelled | None:
        """Wait for the children; return the first Cancelled that was thrown meanwhile."""
        late: Cancelled | None = None
        while self._children:
            self._exit = ExitWait(self._owner)
            try:
                await self._exit
            except Cancelled as cancelled:
                if self._owner.detached:
                    raise
                late = late or cancelled
                self._cancel_children()
            finally:
                self._exit = None
        return late

    def _forget_interrupt(self) -> None:
        host = self._host
        if host is not None and isinstance(host.interrupt, Interrupt) and host.interrupt.group is self:
            host.interrupt = None

    def _is_foreign_cancel(self, error: BaseException | None) -> bool:
        """Whether a Cancelled came from outside this group: then it goes on upwards."""
        if not isinstance(error, Cancelled):
            return False
        if self._host is not None and self._host.cancelled and not self._was_cancelled:
            return True
        return isinstance(error, Interrupt) and error.group is not self


def containable(error: BaseException) -> bool:
    """Whether an error may stay in its handle: a fact of the work, not a fault of the workflow's code."""
    return isinstance(error, PlatformError | TimeoutError) and not isinstance(error, NonDeterminism | WorkflowBroken)
