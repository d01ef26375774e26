"""The port of durable execution: what workflow code sees (``Context``) and what the app sees (``Engine``).

Workflow code imports this file, so it stays pure.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from multiagent.core.errors import EngineError
from multiagent.core.events import EventKind
from multiagent.core.outcome import Outcome
from multiagent.core.settings import TaskSettings
from multiagent.core.step import StepDef
from multiagent.core.travel import Changes, Moment, Point

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
I = TypeVar("I")  # noqa: E741 — input
O = TypeVar("O")  # noqa: E741 — output


class Forked(EngineError):
    """A wait that must not cross a fork's cut stood there; the fork asks anew."""

    code = "FORKED"

    def __init__(self, name: str) -> None:
        super().__init__(f"the run was forked while it waited for {name}; what was asked for must be asked anew")


class Handle(Protocol[T_co]):
    """A child of a group. Await it for its value; its error is thrown into whoever awaits it."""

    @property
    def done(self) -> bool:
        """Whether it has a value or an error."""
        ...

    @property
    def error(self) -> BaseException | None:
        """Its error, once done."""
        ...

    def result(self) -> T_co:
        """Its value, once done; raises its error."""
        ...

    def cancel(self) -> None:
        """Throw Cancelled into it."""
        ...

    def __await__(self) -> Any: ...  # noqa: ANN401 — the kernel's own yield protocol


class Group(Protocol):
    """Structured children: leaving the block waits for all; a failed child cancels its siblings in spawn order and
    fails the group with its error, awaited or not.
    """

    def spawn(self, child: Coroutine[Any, Any, T], *, contain: bool = False) -> Handle[T]:
        """Start a child. ``contain``: its PlatformError stays in its handle and does not fail the group."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool | None: ...


class Context(Protocol):
    """Everything that workflow code may do. Its awaitables are the only ones allowed there."""

    @property
    def settings(self) -> TaskSettings:
        """The settings in force now (a fork may change them at its cut)."""
        ...

    async def step(self, definition: StepDef[I, O], input: I, key: str) -> O:  # noqa: A002 — the field's term
        """Run a step and return its committed result; StepFailed with the failure's code otherwise.

        ``key`` is unique in the run ("a2/think/3"); a duplicate raises WorkflowBroken.
        """
        ...

    def group(self) -> Group:
        """Return a new group, for ``async with``."""
        ...

    async def wait_any(self, handles: "list[Handle[Any]]") -> "Handle[Any]":
        """Return the first finished handle; of several, the one that finished first."""
        ...

    async def sleep(self, seconds: float) -> None:
        """A durable timer."""
        ...

    async def timeout(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Return the work's value; cancel it and raise WorkflowTimeout (a TimeoutError) when the timer is first."""
        ...

    async def wait_signal(self, name: str, *, crosses: bool = True) -> bytes:
        """Return the next signal of that name, also one that came before the wait.

        ``crosses`` False: what was asked of somebody does not go over to a fork; a wait that stands at its cut raises
        Forked there, so that the fork asks anew, under keys of its own.
        """
        ...

    @property
    def cuts(self) -> int:
        """The number of forks in this run's past: it has grown once a fork's cut is handled."""
        ...

    @property
    def inherited(self) -> bool:
        """Whether the outcome that is being handled is the one a fork was cut at: another task has paid for it."""
        ...

    def now(self) -> int:
        """Milliseconds UTC of the outcome that is being handled."""
        ...

    def uuid(self) -> str:
        """A deterministic unique id."""
        ...

    def random(self) -> float:
        """A deterministic number in [0, 1)."""
        ...

    def emit(self, kind: EventKind, payload: msgspec.Struct) -> None:
        """Say that something happened: an event keyed ``w/<n>``."""
        ...

    def publish(self, name: str, state: msgspec.Struct) -> None:
        """Set what ``Engine.query`` answers for this name."""
        ...

    def patched(self, id: str) -> bool:  # noqa: A002 — the field's term
        """Whether this run takes the changed branch ``id``; journaled, so that old runs keep the old one."""
        ...


@dataclass(frozen=True, slots=True)
class Workflow(Generic[I, O]):
    """A named workflow function with its input and output records."""

    name: str
    run: Callable[[Context, I], Coroutine[Any, Any, O]]
    input: type[I]
    output: type[O]


class StepInfo(Protocol):
    """What a step's code knows of its run."""

    @property
    def tenant(self) -> str:
        """The task's tenant."""
        ...

    @property
    def task(self) -> str:
        """The task's id."""
        ...

    @property
    def key(self) -> str:
        """The step's key."""
        ...

    @property
    def attempt(self) -> int:
        """Counted from 1, over all processes."""
        ...

    @property
    def deadline(self) -> int:
        """When the step's time is up, in milliseconds UTC."""
        ...

    @property
    def forked_from(self) -> str:
        """The task that this one is a fork of; empty where it is none."""
        ...

    def heartbeat(self) -> None:
        """Say that the step is alive."""
        ...

    async def event(self, kind: EventKind, payload: msgspec.Struct) -> None:
        """Append a step event, keyed ``<step>/<attempt>/<kind>/<n>``."""
        ...


StepCode = Callable[[StepInfo, I], Awaitable[O]]


class Resolver(Protocol[O]):
    """Shows a step's result with what it refers to, for edits by people, and takes the edited one back."""

    async def show(self, tenant: str, output: O) -> bytes:
        """Return the result as JSON, its references resolved."""
        ...

    async def keep(self, tenant: str, output: O, edited: bytes) -> O:
        """Store what has changed under new hashes; return the result that refers to it.

        Raises msgspec.ValidationError or InvalidInput where it has not the shape that ``show`` gives.
        """
        ...


@dataclass(frozen=True, slots=True)
class Step(Generic[I, O]):
    """A step's definition with the code that does it, as a process registers it. Without a ``resolver`` its results
    are edited as they are stored.
    """

    definition: StepDef[I, O]
    code: StepCode[I, O]
    resolver: Resolver[O] | None = None


class RunResult(msgspec.Struct, frozen=True):
    """How a workflow ended: a value (JSON of its output record), or a failure code and message."""

    status: str
    value: bytes = b""
    code: str = ""
    message: str = ""


class Pending(msgspec.Struct, frozen=True):
    """A step that a server waits for: whether somebody does it now, or since when it waits (ms UTC) for one of the
    ``workers`` that poll its queue; 0 of them: nobody will, until one is started.
    """

    key: str
    step: str
    queue: str
    running: bool
    since: int
    attempt: int
    workers: int


class Engine(Protocol):
    """A durable engine. Task ids are unique over tenants."""

    async def start(self, tenant: str, task: str, workflow: str, input: bytes) -> None:  # noqa: A002 - what it is
        """Start a workflow, idempotent by id."""
        ...

    async def result(self, tenant: str, task: str) -> RunResult:
        """Wait for the end; cancelling the wait does not touch the workflow."""
        ...

    async def signal(self, tenant: str, task: str, name: str, value: bytes, id: str) -> None:  # noqa: A002 - its id
        """Deliver a signal once by ``id``; NotFound for an unknown task, InvalidInput for a finished one."""
        ...

    async def query(self, tenant: str, task: str, name: str) -> bytes:
        """Return what the workflow last published under a name."""
        ...

    async def cancel(self, tenant: str, task: str, reason: str) -> None:
        """Throw Cancelled into the workflow; its running steps stop within a second. It works while paused, too."""
        ...

    async def pause(self, tenant: str, task: str, reason: str, id: str) -> None:  # noqa: A002 - its id
        """Begin no step any more, once by ``id``: running ones end and are recorded, timers go on.

        NotFound for an unknown task, InvalidInput for a finished one; a paused one stays so.
        """
        ...

    async def resume(self, tenant: str, task: str, id: str) -> None:  # noqa: A002 - its id
        """Go on, once by ``id``; nothing for a task that is not paused. Raises what ``pause`` raises."""
        ...

    async def history(self, tenant: str, task: str) -> tuple[Outcome, ...]:
        """Return the journal."""
        ...

    async def state(self, tenant: str, task: str, at: Point) -> Moment:
        """Return what stood at a point, from the journal alone: no step runs. InvalidInput for a point that is not
        there, NonDeterminism where today's code drifts before it.
        """
        ...

    async def fork(self, tenant: str, new_id: str, parent: str, at: Point, changes: Changes) -> None:
        """Begin a new task with the parent's past up to a point, whatever state the parent is in; idempotent by
        ``new_id``.

        What was fed by then is inherited, at no cost; steps in flight there run again; chance, names and approvals are
        the fork's own. Raises NotFound for an unknown parent, InvalidInput for a point or an edit that does not fit or
        an id that is taken by another task, NonDeterminism where the parent's code has drifted before the point.
        """
        ...

    async def release(self, tenant: str, task: str) -> None:
        """Go on with a quarantined task, now that its code is mended.

        NotFound for an unknown task, InvalidInput for one that is not quarantined, NonDeterminism where it drifts
        still: then it stays quarantined.
        """
        ...

    async def replay(self, tenant: str, task: str) -> RunResult:
        """Feed the recorded outcomes to today's code, with no side effect; NonDeterminism where it drifts."""
        ...


class ServedEngine(Engine, Protocol):
    """An engine whose runs live on a server, and whose steps are done by workers, here or elsewhere."""

    async def pending(self, tenant: str, task: str) -> tuple[Pending, ...]:
        """Return the steps that the server waits for, in the order asked; nothing for a finished task.

        NotFound for an unknown task, EngineUnavailable where the server is away.
        """
        ...


class Workers(Protocol):
    """What does the steps of some services in this process, and runs workflows where it is the orchestrator."""

    async def check(self) -> None:
        """Raise EngineUnavailable where they are not ready, or the server does not answer now."""
        ...

    def ready(self) -> bool:
        """Whether they have reached the server and poll it."""
        ...

    async def drain(self, seconds: float) -> None:
        """Take nothing new, and wait so long, at the most, for the steps that run to end and be recorded."""
        ...


class RecoveringEngine(Engine, Protocol):
    """An engine that lives in this process: what it had under way goes on when it is told to."""

    async def recover(self, lacks: Callable[[bytes], str] = ...) -> tuple[str, ...]:
        """Go on with every run that was under way; return their tasks' ids.

        ``lacks`` says of a run's input what this process lacks for it; such a run stays for another process.
        """
        ...

    async def drain(self, seconds: float) -> None:
        """Begin no step any more and wait so long, at the most, until those that run have ended and are recorded."""
        ...
