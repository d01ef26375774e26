"""Every write there is: frozen operations, named for their verb. Adapters map them to SQL; nothing else writes.

``Writer.commit(*ops)`` runs its operations in order, in one transaction, and returns one answer an operation. Where a
comment says nothing else, the answer is None. Every operation is tenant-scoped by its ``tenant``.
"""

import msgspec

from multiagent.core.budget import Amount, Granted, Refused, ScopeLimit, ScopeRef, Wait
from multiagent.core.events import EventDraft, EventHeader
from multiagent.core.messages import Message
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Usage


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all operations."""

    tenant: str


class CreateTask(Op, frozen=True, kw_only=True):
    """Accept a task: its row and its ``submit`` command. Answer: ``TaskCreated``; a known idempotency key creates
    nothing and answers the task that has it.
    """

    id: str
    workflow: str
    input: bytes
    query: str
    user: str
    principal: bytes
    time: int
    session: str = ""
    idempotency_key: str = ""
    mode: str = ""
    root_id: str = ""
    parent_id: str = ""
    deadline: int | None = None


class TaskCreated(msgspec.Struct, frozen=True):
    """``id`` is the task that stands under the idempotency key; ``created`` tells whether this call made it."""

    id: str
    created: bool


class UpdateTask(Op, frozen=True, kw_only=True):
    """Set what is not None. ``duration_ms`` etc. are the seed's columns. A finished status never changes again.

    With ``only_at`` it takes effect only where that is the number of the journal's last row (0: none yet): who learns
    late what a run was like once leaves what it is like now.
    """

    id: str
    time: int
    status: TaskStatus | None = None
    mode: str | None = None
    result: bytes | None = None
    error: Failure | None = None
    usage: Usage | None = None
    cost_pico: int | None = None
    duration_ms: int | None = None
    waits_for: str | None = None
    only_at: int | None = None


class PutAgentExecution(Op, frozen=True, kw_only=True):
    """Insert or replace the row of one agent task (the seed's columns)."""

    task: str
    agent: str
    query: str
    status: str
    time: int
    result: str = ""
    model: str = ""
    vendor: str = ""
    usage: Usage = Usage()
    cost_pico: int = 0
    execution_ms: int = 0
    tool_calls: int = 0


class StoreCommand(Op, frozen=True, kw_only=True):
    """Keep what a person or service asks of a task until the engine acknowledges it; a known id is ignored."""

    id: str
    task: str
    kind: str
    payload: bytes
    principal: bytes
    time: int


class DeliverCommand(Op, frozen=True, kw_only=True):
    """The engine has acknowledged a command (or refused it for good, with ``error``)."""

    id: str
    time: int
    error: str = ""


class AppendEvent(Op, frozen=True, kw_only=True):
    """Append one event, idempotent by (task, key). Answer: ``EventAppended``."""

    task: str
    event: EventDraft


class EventAppended(msgspec.Struct, frozen=True):
    """The stored header; ``created`` is False where the key was known already."""

    header: EventHeader
    created: bool


class StartStep(Op, frozen=True, kw_only=True):
    """Look up, else lease, the result row of a step. Answer: ``StepStarted``.

    ``finished`` carries a committed row with the same input hash. A row with another input hash is a
    NonDeterminism error. Otherwise the row is (re)leased to ``owner``. ``deaths`` counts leases by other owners that
    ended without a result; ``attempt`` counts the starts of this step, this one included (from 1).
    """

    task: str
    key: str
    input_hash: str
    owner: str
    time: int
    lease_until: int


class StoredResult(msgspec.Struct, frozen=True):
    """A committed row of ``results``: a value (JSON, or an object reference where large) or a failure."""

    key: str
    input_hash: str
    value: bytes = b""
    ref: str = ""
    error: Failure | None = None
    inherited: bool = False


class StepStarted(msgspec.Struct, frozen=True):
    """See ``StartStep``."""

    attempt: int
    deaths: int
    finished: StoredResult | None = None


class StoreResult(Op, frozen=True, kw_only=True):
    """Commit a step's result, once: the first stored row wins. Answer: the ``StoredResult`` that stands."""

    task: str
    key: str
    input_hash: str
    owner: str
    time: int
    value: bytes = b""
    ref: str = ""
    error: Failure | None = None


class AppendOutcome(Op, frozen=True, kw_only=True):
    """Append one journal row; ``outcome.n`` must be the next (StorageError otherwise). ``event_seq`` is filled here
    from the number of the task's newest event.

    With ``again`` a row that is there already is left alone where it is the same in n, kind, key and digest, else
    NonDeterminism: several may bring the same rows.
    """

    task: str
    outcome: Outcome
    again: bool = False


class Reserve(Op, frozen=True, kw_only=True):
    """Hold ``need`` in all scopes, or in none; missing scope rows are created with their limits, known ones take the
    new limit. Answer: ``Reserved``. The same (key, attempt) again answers what stands, and holds nothing twice.

    Where several processes write, they share one line a scope: with a ``ticket`` (they are in order by it) an answer to
    wait takes or keeps a place in the line of each scope it names, until ``expires`` (ms UTC); granted gives it up. Who
    has no ticket, or a later one, may pass one who waits ``core.budget.PASSES`` times, then waits for that scope too.
    """

    id: str
    key: str
    attempt: int
    task: str
    scopes: tuple[ScopeLimit, ...]
    need: Amount
    time: int
    deadline: int
    owner: str
    model: str = ""
    ticket: str = ""
    expires: int = 0


class Reserved(msgspec.Struct, frozen=True):
    """The verdict and, where granted, the reservation's id."""

    verdict: Granted | Wait | Refused
    id: str = ""


class Settle(Op, frozen=True, kw_only=True):
    """Book what the vendor billed, release the hold. A ``lost`` reservation is settled late, once, the same way.

    Billed above need is booked in full, marked overrun, and closes the scopes that it put above their limit.
    Answer: ``Settled``. A settled reservation is left alone (``changed`` False).
    """

    reservation: str
    billed: Amount
    time: int
    vendor_request: str = ""


class Settled(msgspec.Struct, frozen=True):
    """``overrun``: billed above the bound; ``closed``: scopes that are now above their limit."""

    changed: bool
    overrun: bool = False
    closed: tuple[ScopeRef, ...] = ()


class Lose(Op, frozen=True, kw_only=True):
    """Count a held reservation in full: its call may or may not have been billed. Answer: True where it was held."""

    reservation: str
    time: int


class LoseOpen(Op, frozen=True, kw_only=True):
    """Lose every held reservation of a key (empty: every key) whose deadline is past ``time``, or which another
    owner than ``owner`` holds (empty owner: any). Answer: the number lost.
    """

    key: str = ""
    owner: str = ""
    time: int = 0


class StoreCompletion(Op, frozen=True, kw_only=True):
    """Keep a model's answer under its idempotency key; the first one stands. Answer: True where this was first."""

    key: str
    request_hash: str
    answer: bytes
    time: int


class StoreUsage(Op, frozen=True, kw_only=True):
    """One line of the bill. ``head_hash`` names the prompt, so that its reported tokens are found again."""

    id: str
    task: str
    step: str
    agent: str
    endpoint: str
    vendor: str
    model: str
    user: str
    session: str
    usage: Usage
    cost_pico: int
    saved_pico: int
    time: int
    key: str = ""
    end_user: str = ""
    tags: str = ""
    request_id: str = ""
    head_hash: str = ""
    estimated: bool = False


class RecordIntent(Op, frozen=True, kw_only=True):
    """Say what a non-idempotent tool is about to do. Answer: ``Intent`` that stands (``created`` or found)."""

    task: str
    step: str
    tool: str
    args_hash: str
    time: int


class Intent(msgspec.Struct, frozen=True):
    """``outcome`` is empty while it is not known whether the effect happened."""

    created: bool
    tool: str
    args_hash: str
    outcome: bytes = b""


class ResolveIntent(Op, frozen=True, kw_only=True):
    """Record what the effect answered."""

    task: str
    step: str
    outcome: bytes
    time: int


class RequestApproval(Op, frozen=True, kw_only=True):
    """Ask for a person's word, bound to the arguments' hash; a known id is left alone."""

    id: str
    task: str
    step: str
    tool: str
    args_hash: str
    arguments: bytes
    time: int
    expires: int


class DecideApproval(Op, frozen=True, kw_only=True):
    """pending → approved | rejected | expired, once. Answer: True where this call decided it."""

    id: str
    state: str
    decided_by: str
    time: int
    reason: str = ""


class TakeDecision(Op, frozen=True, kw_only=True):
    """Decide an approval of the command's task, once, before it expires: pending → approved | rejected, and store the
    command that carries the decision. ``args_hash`` is of the arguments that the person saw; with ``new_hash`` the
    approval is bound to ``new_arguments`` instead from then on. A known command changes nothing.

    Answer: empty, or ``CODE: why`` it was refused (then the command is stored as refused).
    """

    id: str
    command: StoreCommand
    state: str
    decided_by: str
    time: int
    args_hash: str
    reason: str = ""
    new_arguments: bytes = b""
    new_hash: str = ""


class ConsumeApproval(Op, frozen=True, kw_only=True):
    """Use an approved, unexpired approval of these arguments for (task, step); the same step finds its own
    consumption again. Answer: True where it may run.
    """

    task: str
    step: str
    args_hash: str
    time: int


class StoreMessage(Op, frozen=True, kw_only=True):
    """Keep a message under its hash. Answer: the hash. ``hash`` saves computing it again where the caller has it."""

    message: Message
    time: int
    hash: str = ""


class PutUser(Op, frozen=True, kw_only=True):
    """Create a user, and its tenant, where missing."""

    id: str
    time: int
    external_id: str = ""
    email: str = ""


class PutSession(Op, frozen=True, kw_only=True):
    """Create a session where missing; ``token_budget`` None keeps the column's default."""

    id: str
    user: str
    time: int
    token_budget: int | None = None
    expires: int | None = None


class AddSessionTokens(Op, frozen=True, kw_only=True):
    """Add to a session's ``tokens_used``."""

    id: str
    tokens: int
    time: int
