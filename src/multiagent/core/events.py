"""Events: each thing that happens is one, stored once, idempotent by (task, key), numbered per task without gaps."""

import enum
from typing import Final

import msgspec

from multiagent.core.canonical import canonical, digest_bytes

VERSION: Final = 1


class EventKind(enum.StrEnum):
    """Every kind of event. Names never change: they are in proofs and histories."""

    TASK_SUBMITTED = "task.submitted"
    TASK_STARTED = "task.started"
    TASK_ANALYZED = "task.analyzed"
    TASK_PLANNED = "task.planned"
    TASK_DEGRADED = "task.degraded"
    TASK_COMPLETED = "task.completed"
    TASK_FAILED = "task.failed"
    TASK_CANCELLED = "task.cancelled"
    TASK_QUARANTINED = "task.quarantined"
    TASK_RECOVERED = "task.recovered"
    TASK_PAUSED = "task.paused"
    TASK_RESUMED = "task.resumed"
    TASK_FORKED = "task.forked"
    TASK_RELEASED = "task.released"
    TASK_ATTESTED = "task.attested"
    AGENT_STARTED = "agent.started"
    AGENT_STATE = "agent.state"
    AGENT_COMPLETED = "agent.completed"
    AGENT_FAILED = "agent.failed"
    AGENT_SKIPPED = "agent.skipped"
    AGENT_RULED = "agent.ruled"
    AGENT_BELIEVES = "agent.believes"
    AGENT_CANCELLED = "agent.cancelled"
    STEP_STARTED = "step.started"
    STEP_COMPLETED = "step.completed"
    STEP_FAILED = "step.failed"
    MESSAGE_COMPLETED = "message.completed"
    MODEL_FALLBACK = "model.fallback"
    MODEL_DENIED = "model.denied"
    CACHE_HIT = "cache.hit"
    BUDGET_RESERVED = "budget.reserved"
    BUDGET_SETTLED = "budget.settled"
    BUDGET_LOWERED = "budget.lowered"
    BUDGET_ALERT = "budget.alert"
    BUDGET_OVERRUN = "budget.overrun"
    BUDGET_REFUSED = "budget.refused"
    TOOL_CHECKED = "tool.checked"
    TOOL_DENIED = "tool.denied"
    TOOL_COMPLETED = "tool.completed"
    TOOL_FAILED = "tool.failed"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"
    APPROVAL_EXPIRED = "approval.expired"
    SYNTHESIS_STARTED = "synthesis.started"


TASK_ENDS: Final = frozenset(
    {EventKind.TASK_COMPLETED, EventKind.TASK_FAILED, EventKind.TASK_CANCELLED, EventKind.TASK_QUARANTINED}
)
"""The kinds that end a task."""


class EventDraft(msgspec.Struct, frozen=True):
    """An event before it is stored: the appender makes id, salt, seq and commitment. ``payload`` is JSON."""

    key: str
    kind: EventKind
    payload: bytes
    time: int
    principal: str = ""
    on_behalf_of: str = ""
    cause: str = ""
    trace_id: str = ""


class EventHeader(msgspec.Struct, frozen=True):
    """A stored event without its payload: a leaf of the Merkle log, so its fields are final.

    ``cause`` is the key of the event or step that led to it; ``commitment`` binds the payload (see ``commit``).
    """

    v: int
    tenant: str
    id: str
    task: str
    seq: int
    key: str
    kind: EventKind
    time: int
    principal: str
    on_behalf_of: str
    cause: str
    trace_id: str
    commitment: str


class Event(msgspec.Struct, frozen=True):
    """A stored event; ``payload`` is empty where it was forgotten."""

    header: EventHeader
    payload: bytes = b""


def commit(salt: bytes, payload: bytes) -> str:
    """Return the salted commitment (SHA-256, hex) to a payload: without the salt it tells nothing of its content."""
    return digest_bytes("multiagent.payload.v1", len(salt).to_bytes(2, "big") + salt + payload)


def leaf(header: EventHeader) -> bytes:
    """Return the canonical bytes of a header, as the Merkle log hashes them."""
    return canonical(header)
