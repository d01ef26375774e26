"""What rows mean, whichever database they come from: columns to values, for adapters alone."""

from collections.abc import Sequence
from typing import Final

import msgspec

from multiagent.core.budget import Amount, Limit, ScopeRef, ScopeState
from multiagent.core.events import EventHeader, EventKind
from multiagent.core.outcome import Failure, Outcome, Patch
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Usage
from multiagent.storage.sql.base import AgentRow, ApprovalRow, CommandRow, CommandState, SessionRow, TaskRow
from multiagent.storage.sql.ops import StoredResult
from multiagent.storage.sql.schedules import KeyedTask, ScheduleRow

Value = str | int | bytes | None
Row = Sequence[Value]

ENCODE: Final = msgspec.json.Encoder().encode

HEADER: Final = "v, tenant_id, id, task, seq, key, kind, time, principal, on_behalf_of, cause, trace_id, commitment"
RESULT: Final = "key, input_hash, value, ref, error, inherited"
COMMAND: Final = "tenant_id, id, task, kind, payload, principal, time"
JOURNAL: Final = "n, kind, key, time, value, digest, patches, event_seq"
SESSION: Final = "id, user_id, token_budget, tokens_used, created_at, expires_at"
SCHEDULE: Final = "tenant_id, id, definition, state, revision, created_at, updated_at"
KEYED: Final = "idempotency_key, id, status, total_cost_pico, total_tokens"
SCOPE: Final = "limit_tokens, limit_pico, used_tokens, used_pico, held_tokens, held_pico, closed"
AGENT: Final = """task_execution_id, agent_id, query, status, result, model_used, provider, usage, cost_pico,
 execution_time_ms, tool_calls_count"""
APPROVAL: Final = """id, task, step, tool, args_hash, arguments, state, requested_at, expires, decided_by, decided_at,
 reason, consumed_by"""

_KINDS: Final = {kind.value: kind for kind in EventKind}
_FAILURE: Final = msgspec.json.Decoder(Failure)
_USAGE: Final = msgspec.json.Decoder(Usage)
_PATCHES: Final = msgspec.json.Decoder(tuple[Patch, ...])


def whole(value: Value) -> int:
    """Return a column that holds an integer."""
    if type(value) is not int:
        raise TypeError(f"a column holds {type(value).__name__} where a whole number belongs")
    return value


def text(value: Value) -> str:
    """Return a column that holds text."""
    if type(value) is not str:
        raise TypeError(f"a column holds {type(value).__name__} where text belongs")
    return value


def blob(value: Value) -> bytes:
    """Return a column that holds bytes; NULL is none."""
    if value is None:
        return b""
    return value if type(value) is bytes else text(value).encode()


def header(row: Row) -> EventHeader:
    """Return an event's header from the columns of ``HEADER``."""
    v, tenant, id_, task, seq, key, kind, time, principal, on_behalf_of, cause, trace_id, commitment = row
    return EventHeader(
        whole(v), text(tenant), text(id_), text(task), whole(seq), text(key), _KINDS[text(kind)], whole(time),
        text(principal), text(on_behalf_of), text(cause), text(trace_id), text(commitment),
    )  # fmt: skip


def stored(row: Row) -> StoredResult:
    """Return a result from the columns of ``RESULT``."""
    return StoredResult(text(row[0]), text(row[1]), blob(row[2]), text(row[3]), _failure(row[4]), bool(row[5]))


def scope_state(scope: ScopeRef, row: Row) -> ScopeState:
    """Return what stands booked, from the columns of ``SCOPE``."""
    limit = Limit(_maybe(row[0]), _maybe(row[1]))
    used, held = Amount(whole(row[2]), whole(row[3])), Amount(whole(row[4]), whole(row[5]))
    return ScopeState(scope, limit, used, held, bool(row[6]))


def task_row(row: Row) -> TaskRow:
    """Return a task: tenant, id, workflow, user, session, query, mode, status, input, principal, result, error, usage,
    cost, duration, created, updated, newest event, what it waits for, parent, root, cut, first moment, first name.
    """
    status: TaskStatus = text(row[7])  # type: ignore[assignment] # only operations write it
    return TaskRow(
        tenant=text(row[0]),
        id=text(row[1]),
        workflow=text(row[2]),
        user=text(row[3]),
        session=text(row[4]),
        query=text(row[5]),
        mode=text(row[6]),
        status=status,
        input=blob(row[8]),
        principal=blob(row[9]),
        result=blob(row[10]),
        error=_failure(row[11]),
        usage=_usage(row[12]),
        cost_pico=whole(row[13]),
        duration_ms=_maybe(row[14]),
        created=whole(row[15]),
        updated=whole(row[16]),
        last_seq=whole(row[17]),
        waits_for=text(row[18]),
        parent_id=text(row[19]),
        root_id=text(row[20]),
        forked_at=_maybe(row[21]),
        began=whole(row[15] if row[22] is None else row[22]),
        named=text(row[1] if row[23] is None else row[23]),
    )


def schedule_row(row: Row) -> ScheduleRow:
    """Return a schedule from the columns of ``SCHEDULE``."""
    return ScheduleRow(
        text(row[0]), text(row[1]), blob(row[2]), blob(row[3]), whole(row[4]), whole(row[5]), whole(row[6])
    )


def keyed_task(row: Row) -> KeyedTask:
    """Return a task by its idempotency key, from the columns of ``KEYED``."""
    status: TaskStatus = text(row[2])  # type: ignore[assignment] # only operations write it
    return KeyedTask(text(row[0]), text(row[1]), status, whole(row[3]), whole(row[4]))


def agent_row(row: Row) -> AgentRow:
    """Return an agent task from the columns of ``AGENT``."""
    return AgentRow(
        task=text(row[0]),
        agent=text(row[1]),
        query=text(row[2]),
        status=text(row[3]),
        result=text(row[4]),
        model=text(row[5]),
        vendor=text(row[6]),
        usage=_usage(row[7]),
        cost_pico=whole(row[8]),
        execution_ms=whole(row[9]),
        tool_calls=whole(row[10]),
    )


def approval_row(row: Row) -> ApprovalRow:
    """Return an approval from the columns of ``APPROVAL``."""
    return ApprovalRow(
        text(row[0]), text(row[1]), text(row[2]), text(row[3]), text(row[4]), blob(row[5]), text(row[6]),
        whole(row[7]), whole(row[8]), text(row[9]), _maybe(row[10]), text(row[11]), text(row[12]),
    )  # fmt: skip


def session_row(row: Row) -> SessionRow:
    """Return a session from the columns of ``SESSION``."""
    return SessionRow(text(row[0]), text(row[1]), whole(row[2]), whole(row[3]), whole(row[4]), _maybe(row[5]))


def command_row(row: Row) -> CommandRow:
    """Return a command from the columns of ``COMMAND``."""
    return CommandRow(text(row[0]), text(row[1]), text(row[2]), text(row[3]), blob(row[4]), blob(row[5]), whole(row[6]))


def command_state(row: Row) -> CommandState:
    """Return what became of a command: id, task, kind, when delivered, error."""
    return CommandState(text(row[0]), text(row[1]), text(row[2]), _maybe(row[3]), text(row[4]))


def outcome(row: Row) -> Outcome:
    """Return a row of the journal from the columns of ``JOURNAL``."""
    return Outcome(
        n=whole(row[0]),
        kind=text(row[1]),  # type: ignore[arg-type] # only AppendOutcome writes it
        key=text(row[2]),
        time=whole(row[3]),
        value=blob(row[4]),
        digest=text(row[5]),
        patches=() if row[6] is None else _PATCHES.decode(blob(row[6])),
        event_seq=whole(row[7]),
    )


def _maybe(value: Value) -> int | None:
    return None if value is None else whole(value)


def _failure(value: Value) -> Failure | None:
    return None if value is None else _FAILURE.decode(blob(value))


def _usage(value: Value) -> Usage:
    return _USAGE.decode(text(value)) if value else Usage()
