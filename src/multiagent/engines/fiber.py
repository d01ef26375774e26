"""Fibers: coroutines driven by ``send`` and ``throw``, in an order that depends on nothing but what was fed.

A fiber waits on one ``Wait`` at a time. Waking puts it at the end of the ready queue; a woken fiber re-checks what it
waited for. Cancelling throws ``Cancelled`` where it waits.
"""

import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar

from multiagent.core.errors import Cancelled, WorkflowBroken

T = TypeVar("T")

RESUMPTIONS: Final = 10_000


class Wait:
    """Something a fiber waits for; ``fiber`` is set while it does."""

    __slots__ = ("fiber", "owner")

    def __init__(self, owner: "Scheduler") -> None:
        self.owner = owner
        self.fiber: Fiber[Any] | None = None

    def __await__(self) -> Generator["Wait", None, None]:
        self.owner.check_attached()
        try:
            yield self
        except GeneratorExit:  # nobody drives this run any more: what its cleanup asks for is not to be done
            self.owner.detached = True
            raise


class FinishWait(Wait):
    """Waits for the first of some fibers to finish."""

    __slots__ = ("fibers",)

    def __init__(self, owner: "Scheduler", fibers: "tuple[Fiber[Any], ...]") -> None:
        super().__init__(owner)
        self.fibers = fibers
        for fiber in fibers:
            fiber.watchers.append(self)


class Fiber(Generic[T]):
    """One coroutine with its end; workflow code sees it as a ``Handle``."""

    __slots__ = (
        "cancelled", "coroutine", "error", "finished", "interrupt", "number", "on_finish", "owner", "started",
        "throwing", "value", "waiting", "watchers",
    )  # fmt: skip

    def __init__(self, owner: "Scheduler", coroutine: Coroutine[Any, Any, T], number: int) -> None:
        self.owner = owner
        self.coroutine = coroutine
        self.number = number
        self.finished = 0
        self.value: T | None = None
        self.error: BaseException | None = None
        self.waiting: Wait | None = None
        self.throwing: BaseException | None = None
        self.interrupt: Cancelled | None = None
        self.cancelled = False
        self.started = False
        self.watchers: list[Wait] = []
        self.on_finish: Callable[[Fiber[Any]], None] | None = None

    @property
    def done(self) -> bool:
        """Whether it has a value or an error."""
        return self.finished > 0

    def result(self) -> T:
        """Return its value; raise its error. WorkflowBroken where it is not done."""
        if not self.finished:
            raise WorkflowBroken("the result of a child that has not finished; await its handle first")
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value] # a fiber without error has its value

    def cancel(self) -> None:
        """Throw Cancelled into it; nothing where it is done."""
        self.owner.cancel(self, Cancelled("cancelled by its workflow"))

    def __await__(self) -> Generator[Wait, None, T]:
        while not self.finished:
            yield from FinishWait(self.owner, (self,)).__await__()
        return self.result()


class Scheduler:
    """The ready queue: it runs fibers until none is ready."""

    __slots__ = ("_count", "_finished", "broken", "current", "detached", "dying", "fibers", "ready")

    def __init__(self) -> None:
        self.ready: deque[Fiber[Any]] = deque()
        self.fibers: dict[int, Fiber[Any]] = {}
        self.dying: list[Fiber[Any]] = []
        self.current: Fiber[Any] | None = None
        self.broken: WorkflowBroken | None = None
        self.detached = False
        self._count = 0
        self._finished = 0

    def check_attached(self) -> None:
        """Raise Cancelled where the fibers have been dropped: then nothing is waited for."""
        if self.detached:
            raise Cancelled("this run was dropped")

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Fiber[T]:
        """Add a fiber and make it ready."""
        self._count += 1
        fiber = Fiber(self, coroutine, self._count)
        self.fibers[fiber.number] = fiber
        self.ready.append(fiber)
        return fiber

    def wake(self, wait: Wait, error: BaseException | None = None) -> None:
        """Make the fiber that waits here ready, with an error where there is one; nothing where none waits here."""
        fiber = wait.fiber
        if fiber is not None and fiber.waiting is wait:
            fiber.waiting = None
            wait.fiber = None
            fiber.throwing = error
            self.ready.append(fiber)

    def cancel(self, fiber: Fiber[Any], error: Cancelled) -> None:
        """Cancel a fiber, once."""
        if not fiber.finished and not fiber.cancelled:
            fiber.cancelled = True
            self.dying.append(fiber)
            self.throw(fiber, error)

    def throw(self, fiber: Fiber[Any], error: Cancelled) -> None:
        """Interrupt a fiber where it waits, or at its next wait where it runs just now."""
        if fiber.finished:
            return
        if fiber is self.current:
            fiber.interrupt = error
            return
        wait = fiber.waiting
        if wait is None:  # ready, not resumed yet
            fiber.throwing = error
            return
        self.left(wait)
        self.wake(wait, error)

    def left(self, wait: Wait) -> None:
        """Undo what an interrupted wait had asked for."""
        if isinstance(wait, FinishWait):
            for fiber in wait.fibers:
                if wait in fiber.watchers:
                    fiber.watchers.remove(wait)

    def run(self) -> None:
        """Resume fibers until none is ready; ``broken`` is set where their code broke a rule."""
        for _ in range(RESUMPTIONS):
            if not self.ready or self.broken is not None:
                return
            self._resume(self.ready.popleft())
        if self.ready and self.broken is None:
            self.broken = WorkflowBroken(
                f"the workflow did not come to rest within {RESUMPTIONS} resumptions; does it loop without a step?"
            )

    def _resume(self, fiber: Fiber[Any]) -> None:
        if fiber.finished:
            return
        error = fiber.throwing
        fiber.throwing = None
        self.current = fiber
        try:
            if error is None:
                fiber.started = True
                wait = fiber.coroutine.send(None)
            elif fiber.started:
                wait = fiber.coroutine.throw(error)
            else:
                discard(fiber.coroutine)
                self._finish(fiber, None, error)
                return
        except StopIteration as stop:
            self._finish(fiber, stop.value, None)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:  # noqa: BLE001 — whatever workflow code raises is its fiber's end
            self._finish(fiber, None, raised)
        else:
            self._suspend(fiber, wait)
        finally:
            self.current = None

    def _suspend(self, fiber: Fiber[Any], wait: object) -> None:
        if not isinstance(wait, Wait) or wait.owner is not self:
            self.broken = WorkflowBroken(
                f"the workflow awaits {type(wait).__name__}, which is not made by its context; "
                "only ctx.step, ctx.sleep, ctx.wait_signal, ctx.group and the like may be awaited"
            )
            return
        wait.fiber = fiber
        fiber.waiting = wait
        if fiber.interrupt is not None:
            error, fiber.interrupt = fiber.interrupt, None
            self.left(wait)
            self.wake(wait, error)

    def _finish(self, fiber: Fiber[Any], value: object, error: BaseException | None) -> None:
        self._finished += 1
        fiber.finished = self._finished
        fiber.value = value
        fiber.error = error
        del self.fibers[fiber.number]
        if fiber.on_finish is not None:
            fiber.on_finish(fiber)
        for wait in fiber.watchers:
            self.wake(wait)
        fiber.watchers.clear()

    def kill(self, fiber: Fiber[Any]) -> None:
        """End a fiber without asking it again: its cleanup took too long."""
        if fiber.finished:
            return
        if fiber.waiting is not None:
            self.left(fiber.waiting)
            fiber.waiting = None
        self.detached, before = True, self.detached
        try:
            discard(fiber.coroutine)
        finally:
            self.detached = before
        self._finish(fiber, None, Cancelled("its cleanup took too long"))

    def drop(self) -> None:
        """Close every fiber, the youngest first; their ``finally`` blocks run, but nothing they ask for is done."""
        self.detached = True
        self.ready.clear()
        for fiber in sorted(self.fibers.values(), key=lambda fiber: -fiber.number):
            discard(fiber.coroutine)
        self.fibers.clear()


def discard(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine, and the unstarted ones among its arguments where it is unstarted itself."""
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        for value in inspect.getcoroutinelocals(coroutine).values():
            if inspect.iscoroutine(value) and inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
                discard(value)
    try:
        coroutine.close()
    except (Exception, Cancelled):  # noqa: BLE001 — a dropped run has no one to tell
        return
