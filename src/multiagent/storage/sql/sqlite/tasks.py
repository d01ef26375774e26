"""Tasks, agent tasks, commands and events."""

from typing import Final

from multiagent.core.errors import NotFound
from multiagent.core.events import VERSION, EventHeader, EventKind, commit
from multiagent.storage.sql.ops import (
    AppendEvent,
    CreateTask,
    DeliverCommand,
    EventAppended,
    PutAgentExecution,
    StoreCommand,
    TaskCreated,
    UpdateTask,
)
from multiagent.storage.sql.sqlite.scribe import ENCODE, Scribe, Value, text

FINISHED: Final = "('completed', 'failed', 'cancelled', 'quarantined')"
SALT_BYTES: Final = 16

_CREATE: Final = """INSERT INTO task_executions (tenant_id, id, workflow, workflow_id, user_id, session_id, query, mode, status,
 input, principal, idempotency_key, root_id, parent_id, deadline, created_at, updated_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_BY_IDEMPOTENCY: Final = (
    "SELECT id FROM task_executions WHERE tenant_id = ? AND idempotency_key = ? AND idempotency_key <> ''"
)
_COMMAND: Final = """INSERT INTO commands (tenant_id, id, task, kind, payload, principal, time)
 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_DELIVER: Final = (
    "UPDATE commands SET delivered_at = ?, error = ? WHERE tenant_id = ? AND id = ? AND delivered_at IS NULL"
)
_AGENT: Final = """INSERT INTO agent_executions (tenant_id, task_execution_id, agent_id, query, status, result, model_used, provider,
 tokens, usage, cost_pico, execution_time_ms, tool_calls_count, created_at, updated_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, task_execution_id, agent_id) DO UPDATE SET query = excluded.query, status = excluded.status,
 result = excluded.result, model_used = excluded.model_used, provider = excluded.provider, tokens = excluded.tokens,
 usage = excluded.usage, cost_pico = excluded.cost_pico, execution_time_ms = excluded.execution_time_ms,
 tool_calls_count = excluded.tool_calls_count, updated_at = excluded.updated_at"""
_EVENT: Final = """INSERT INTO events (tenant_id, task, seq, v, id, key, kind, time, principal, on_behalf_of, cause, trace_id, commitment)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, task, key) DO NOTHING"""
_PAYLOAD: Final = "INSERT INTO event_payloads (tenant_id, task, seq, salt, payload) VALUES (?, ?, ?, ?, ?)"
_LOG: Final = "INSERT INTO log (tenant_id, position, task, seq) VALUES (?, ?, ?, ?)"
HEADER: Final = "v, tenant_id, id, task, seq, key, kind, time, principal, on_behalf_of, cause, trace_id, commitment"
_KNOWN: Final = f"SELECT {HEADER} FROM events WHERE tenant_id = ? AND task = ? AND key = ?"
_KINDS: Final = {kind.value: kind for kind in EventKind}


def header(row: tuple[Value, ...]) -> EventHeader:
    """Return an event's header from the columns of ``HEADER``."""
    return EventHeader(*row[:6], _KINDS[text(row[6])], *row[7:])  # type: ignore[arg-type] # the table's own types


def create_task(scribe: Scribe, op: CreateTask) -> TaskCreated:
    """See ``CreateTask``."""
    created = scribe.change(
        _CREATE,
        (
            op.tenant, op.id, op.workflow, op.id, op.user, op.session, op.query, op.mode, op.input, op.principal,
            op.idempotency_key, op.root_id or op.id, op.parent_id, op.deadline, op.time, op.time,
        ),
    )  # fmt: skip
    if created:
        scribe.change(_COMMAND, (op.tenant, op.id, op.id, "submit", op.input, op.principal, op.time))
        return TaskCreated(op.id, created=True)
    standing = scribe.one(_BY_IDEMPOTENCY, (op.tenant, op.idempotency_key))
    return TaskCreated(op.id if standing is None else text(standing[0]), created=False)


def update_task(scribe: Scribe, op: UpdateTask) -> None:
    """See ``UpdateTask``. One that carries a status leaves a finished task alone as a whole."""
    columns = ["updated_at"]
    values: list[Value] = [op.time]
    given: tuple[tuple[str, Value], ...] = (
        ("status", op.status),
        ("mode", op.mode),
        ("result", op.result),
        ("error", None if op.error is None else ENCODE(op.error)),
        ("usage", None if op.usage is None else ENCODE(op.usage).decode()),
        ("total_tokens", None if op.usage is None else op.usage.total),
        ("total_cost_pico", op.cost_pico),
        ("duration_ms", op.duration_ms),
        ("waits_for", op.waits_for),
    )
    for column, value in given:
        if value is not None:
            columns.append(column)
            values.append(value)
    unfinished = f" AND status NOT IN {FINISHED}" if op.status is not None else ""
    sql = f"UPDATE task_executions SET {', '.join(f'{one} = ?' for one in columns)} WHERE tenant_id = ? AND id = ?{unfinished}"
    if not scribe.change(sql, (*values, op.tenant, op.id)):
        scribe.last_seq(op.tenant, op.id)  # NotFound, or a finished task


def put_agent_execution(scribe: Scribe, op: PutAgentExecution) -> None:
    """See ``PutAgentExecution``."""
    scribe.change(
        _AGENT,
        (
            op.tenant, op.task, op.agent, op.query, op.status, op.result, op.model, op.vendor, op.usage.total,
            ENCODE(op.usage).decode(), op.cost_pico, op.execution_ms, op.tool_calls, op.time, op.time,
        ),
    )  # fmt: skip


def store_command(scribe: Scribe, op: StoreCommand) -> None:
    """See ``StoreCommand``."""
    scribe.change(_COMMAND, (op.tenant, op.id, op.task, op.kind, op.payload, op.principal, op.time))


def deliver_command(scribe: Scribe, op: DeliverCommand) -> None:
    """See ``DeliverCommand``."""
    scribe.change(_DELIVER, (op.time, op.error, op.tenant, op.id))


def append_event(scribe: Scribe, op: AppendEvent) -> EventAppended:
    """See ``AppendEvent``."""
    draft = op.event
    seq = scribe.last_seq(op.tenant, op.task) + 1
    salt = scribe.entropy(SALT_BYTES)
    made = EventHeader(
        VERSION, op.tenant, next(scribe.ids), op.task, seq, draft.key, draft.kind, draft.time, draft.principal,
        draft.on_behalf_of, draft.cause, draft.trace_id, commit(salt, draft.payload),
    )  # fmt: skip
    row = (
        op.tenant, op.task, seq, VERSION, made.id, draft.key, draft.kind.value, draft.time, draft.principal,
        draft.on_behalf_of, draft.cause, draft.trace_id, made.commitment,
    )  # fmt: skip
    if not scribe.change(_EVENT, row):
        known = scribe.one(_KNOWN, (op.tenant, op.task, draft.key))
        if known is None:
            raise NotFound(f"event {draft.key} of task {op.task} is gone")
        return EventAppended(header(known), created=False)
    scribe.change(_PAYLOAD, (op.tenant, op.task, seq, salt, draft.payload))
    scribe.change(_LOG, (op.tenant, scribe.next_position(), op.task, seq))
    scribe.move_seq(op.tenant, op.task, seq)
    scribe.headers.append(made)
    return EventAppended(made, created=True)
