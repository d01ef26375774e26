"""The port of relational storage: one way to write (``commit``), typed ways to read."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from multiagent.core.budget import ScopeRef, ScopeState
from multiagent.core.events import Event, EventHeader
from multiagent.core.messages import Message
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Bill, Usage
from multiagent.storage.sql.ops import Op, StoredResult
from multiagent.storage.sql.schedules import KeyedTask, ScheduleRow


class Writer(Protocol):
    """The one door for writes."""

    async def commit(self, *ops: Op) -> tuple[object, ...]:
        """Run the operations in one transaction; return one answer an operation, typed as its class says.

        Raises StorageUnavailable, StorageFull, StorageCorrupt; then none of the operations took effect.
        """
        ...

    def queue(self, *ops: Op) -> None:
        """Commit without waiting, in order ahead of every later ``commit``.

        Where the disk is full or locked they are tried again, and later commits fail with that error as long as they
        do not succeed; any other failure closes the writer.
        """
        ...

    def on_commit(self, listener: Callable[[Sequence[EventHeader]], None]) -> Callable[[], None]:
        """Call ``listener`` on the event loop with the headers of each committed batch; returns the unsubscriber."""
        ...

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` on the event loop after a commit that released a hold (settle, lose), by this process or,
        where somebody waits, by another; returns the unsubscriber.
        """
        ...


class TaskRow(msgspec.Struct, frozen=True):
    """One row of ``task_executions``. A fork has ``forked_at``, the row of its parent's journal just after which it was
    cut. ``began`` is its workflow's first moment, and ``named`` the task its names began with: those of the run whose
    past it has.
    """

    tenant: str
    id: str
    workflow: str
    user: str
    session: str
    query: str
    mode: str
    status: TaskStatus
    input: bytes
    principal: bytes
    result: bytes
    error: Failure | None
    usage: Usage
    cost_pico: int
    duration_ms: int | None
    created: int
    updated: int
    last_seq: int
    waits_for: str = ""
    parent_id: str = ""
    root_id: str = ""
    forked_at: int | None = None
    began: int = 0
    named: str = ""


class AgentRow(msgspec.Struct, frozen=True):
    """One row of ``agent_executions``."""

    task: str
    agent: str
    query: str
    status: str
    result: str
    model: str
    vendor: str
    usage: Usage
    cost_pico: int
    execution_ms: int
    tool_calls: int


class CommandRow(msgspec.Struct, frozen=True):
    """One undelivered command."""

    tenant: str
    id: str
    task: str
    kind: str
    payload: bytes
    principal: bytes
    time: int


class CommandState(msgspec.Struct, frozen=True):
    """What became of a command: ``delivered`` (ms UTC) is None while it waits; ``error`` says why it was refused.

    ``task`` of a ``submit`` command is the task that stands, which under an idempotency key may be an earlier one.
    """

    id: str
    task: str
    kind: str
    delivered: int | None
    error: str


class ApprovalRow(msgspec.Struct, frozen=True):
    """One row of ``approvals``: what a person is asked about, and what became of it. Times are ms UTC."""

    id: str
    task: str
    step: str
    tool: str
    args_hash: str
    arguments: bytes
    state: str
    requested: int
    expires: int
    decided_by: str
    decided: int | None
    reason: str
    consumed_by: str


class SessionRow(msgspec.Struct, frozen=True):
    """One row of ``sessions``."""

    id: str
    user: str
    token_budget: int
    tokens_used: int
    created: int
    expires: int | None


class TaskWeight(msgspec.Struct, frozen=True):
    """How much a finished task holds that retention may take away: bytes of payloads, journal, results and answers."""

    id: str
    updated: int
    bytes: int


class LogRow(msgspec.Struct, frozen=True):
    """An event's place in the order of all tasks' events. Positions rise; they may skip those of other tenants."""

    position: int
    task: str
    seq: int


class Completion(msgspec.Struct, frozen=True):
    """A stored answer and the hash of the request it answers."""

    request_hash: str
    answer: bytes


class Reader(Protocol):
    """All reads. Every method is scoped to one tenant unless it says otherwise."""

    async def task(self, tenant: str, task: str) -> TaskRow | None:
        """Return a task by id."""
        ...

    async def tasks(
        self, tenant: str, *, status: TaskStatus | None = None, before: str = "", limit: int = 50
    ) -> tuple[TaskRow, ...]:
        """Return tasks, newest first, ids below ``before``."""
        ...

    async def unfinished(self) -> tuple[TaskRow, ...]:
        """Return the queued, running, waiting and paused tasks of all tenants, oldest first."""
        ...

    async def agents(self, tenant: str, task: str) -> tuple[AgentRow, ...]:
        """Return the agent tasks of a task, by agent id."""
        ...

    async def commands(self, limit: int = 100) -> tuple[CommandRow, ...]:
        """Return undelivered commands of all tenants, oldest first."""
        ...

    async def overdue(self, time: int, limit: int = 100) -> tuple[tuple[str, str], ...]:
        """Return tenant and id of the reservations of all tenants that are held past their deadline, at ``time``."""
        ...

    async def events(self, tenant: str, task: str, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Return events with ``seq`` over ``after``, in order, payloads included."""
        ...

    async def journal(self, tenant: str, task: str) -> tuple[Outcome, ...]:
        """Return all outcomes in order."""
        ...

    async def results(self, tenant: str, task: str) -> dict[str, StoredResult]:
        """Return all committed results by step key."""
        ...

    async def result(self, tenant: str, task: str, key: str) -> StoredResult | None:
        """Return one committed result."""
        ...

    async def completion(self, tenant: str, key: str) -> Completion | None:
        """Return the answer stored under an idempotency key."""
        ...

    async def chain(self, tenant: str, head: str) -> tuple[Message, ...]:
        """Return the messages of a conversation from its root to ``head``; NotFound where one is missing."""
        ...

    async def scope(self, tenant: str, scope: ScopeRef) -> ScopeState | None:
        """Return what stands booked in a scope."""
        ...

    async def reported_prompt(self, tenant: str, head_hash: str, model: str) -> Usage | None:
        """Return the vendor-reported usage of an earlier call with this prompt head on this model."""
        ...

    async def bill(self, tenant: str, task: str) -> Bill:
        """Return the sum of a task's usage lines and lost reservations."""
        ...

    async def session(self, tenant: str, session: str) -> SessionRow | None:
        """Return a session by id."""
        ...

    async def sessions(self, tenant: str, limit: int = 100) -> tuple[SessionRow, ...]:
        """Return sessions, newest first."""
        ...

    async def memory(self, tenant: str, session: str) -> bytes:
        """Return what a session remembers, as JSON; nothing where there is no such session."""
        ...

    async def weights(self, tenant: str) -> tuple[TaskWeight, ...]:
        """Return how much each finished task holds, oldest first; pruned ones hold nothing and are left out."""
        ...

    async def log(self, tenant: str, after: int = 0, limit: int = 1000) -> tuple[LogRow, ...]:
        """Return events of all tasks in the order they were committed, positions over ``after``.

        An event may get its place some time after its commit, never before one that is already there.
        """
        ...

    async def schedules(self, tenant: str = "", schedule: str = "") -> tuple[ScheduleRow, ...]:
        """Return schedules by their ids: of all tenants, of one, or only the one of that name."""
        ...

    async def keyed_tasks(
        self, tenant: str, prefix: str, *, under_way: bool = False, limit: int = 100
    ) -> tuple[KeyedTask, ...]:
        """Return the tasks whose idempotency keys begin with a prefix, the last key first; ``under_way``: only those
        that are not at their end.
        """
        ...

    async def command(self, tenant: str, command: str) -> CommandState | None:
        """Return what became of a command; None where the owner has not taken it yet."""
        ...

    async def approvals(
        self, tenant: str, *, task: str = "", pending: bool = True, limit: int = 100
    ) -> tuple[ApprovalRow, ...]:
        """Return approvals, of one task or of all, oldest first: those nobody has decided, or the newest of all."""
        ...

    async def approval(self, tenant: str, approval: str) -> ApprovalRow | None:
        """Return an approval by id."""
        ...

    async def approval_state(self, tenant: str, approval: str) -> str | None:
        """Return pending, approved, rejected, expired or consumed."""
        ...


class Turn(Protocol):
    """Of all processes that do the same work on one database, at most one has its turn, but for moments in which one
    that was thought dead is not.
    """

    def mine(self) -> bool:
        """Whether it is this process's turn now."""
        ...


class Inbox(Protocol):
    """Where processes that do not own a home leave commands, and where the owner finds them."""

    async def put(self, row: CommandRow) -> None:
        """Leave a command; it counts once this returns. A known id is ignored."""
        ...

    async def waiting(self, limit: int = 100) -> tuple[CommandRow, ...]:
        """Return what waits, oldest first."""
        ...

    async def remove(self, rows: Sequence[CommandRow]) -> None:
        """Forget commands that are stored elsewhere now; unknown ones are ignored."""
        ...

    def changed(self) -> bool:
        """Whether another process may have written since the last call; cheap, True at the first."""
        ...


class Notices(Protocol):
    """Hears what any process committed. Only hints: some may be told twice, or of nothing."""

    def on_event(self, listener: Callable[[str, str], None]) -> Callable[[], None]:
        """Call ``listener`` on the event loop with the tenant and the task that have a new event, with empty texts
        where any may have; returns the unsubscriber.
        """
        ...

    def on_command(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` on the event loop when there is a new command; returns the unsubscriber."""
        ...

    def on_release(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` on the event loop when a hold was let go that others wait behind; returns the
        unsubscriber.
        """
        ...
