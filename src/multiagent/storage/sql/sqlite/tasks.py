"""Tasks, agent tasks, commands and events."""

from typing import Final

from multiagent.core.errors import StorageCorrupt
from multiagent.core.events import VERSION, EventHeader, commit
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
from multiagent.storage.sql.rows import ENCODE, HEADER, Value, header, text
from multiagent.storage.sql.sqlite.scribe import FINISHED, UNFINISHED, Scribe

SALT_BYTES: Final = 16

_CREATE: Final = """INSERT INTO task_executions
 (tenant_id, id, workflow, workflow_id, user_id, session_id, query, mode, status, input, principal,
 idempotency_key, root_id, parent_id, deadline, created_at, updated_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_BY_IDEMPOTENCY: Final = (
    "SELECT id FROM task_executions WHERE tenant_id = ? AND idempotency_key = ? AND idempotency_key <> ''"
)
_COMMAND: Final = """INSERT INTO commands (tenant_id, id, task, kind, payload, principal, time)
 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_DELIVER: Final = (
    "UPDATE commands SET delivered_at = ?, error = ? WHERE tenant_id = ? AND id = ? AND delivered_at IS NULL"
)
_AGENT: Final = """INSERT INTO agent_executions
 (tenant_id, task_execution_id, agent_id, query, status, result, model_used, provider, tokens, usage, cost_pico,
 execution_time_ms, tool_calls_count, created_at, updated_at)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, task_execution_id, agent_id) DO UPDATE SET query = excluded.query, status = excluded.status,
 result = excluded.result, model_used = excluded.model_used, provider = excluded.provider, tokens = excluded.tokens,
 usage = excluded.usage, cost_pico = excluded.cost_pico, execution_time_ms = excluded.execution_time_ms,
 tool_calls_count = excluded.tool_calls_count, updated_at = excluded.updated_at"""
_EVENT: Final = """INSERT INTO events
 (tenant_id, task, seq, v, id, key, kind, time, principal, on_behalf_of, cause, trace_id, commitment)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PAYLOAD: Final = """INSERT INTO event_payloads (tenant_id, task, key, seq, salt, payload) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (tenant_id, task, key) DO NOTHING"""
_KNOWN: Final = f"""SELECT {HEADER} FROM events WHERE tenant_id = ?1 AND task = ?2
 AND seq = (SELECT seq FROM event_payloads WHERE tenant_id = ?1 AND task = ?2 AND key = ?3)"""


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
    task = scribe.task(op.tenant, op.id)
    if op.only_at is not None and op.only_at != (task.n or 0):
        return
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
    assignments = ", ".join(f"{column} = ?" for column in columns)
    where = "tenant_id = ? AND id = ?"
    if op.status is not None:
        where += f" AND status IN {UNFINISHED}"
    if scribe.change(f"UPDATE task_executions SET {assignments} WHERE {where}", (*values, op.tenant, op.id)):
        task.finished = task.finished or op.status in FINISHED
        scribe.log_now = scribe.log_now or task.finished


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
    tenant, name, draft = op.tenant, op.task, op.event
    task = scribe.task(tenant, name)
    seq = task.seq + 1
    salt = scribe.entropy(SALT_BYTES)
    if not scribe.change(_PAYLOAD, (tenant, name, draft.key, seq, salt, draft.payload)):
        known = scribe.one(_KNOWN, (tenant, name, draft.key))
        if known is None:
            raise StorageCorrupt(f"event {draft.key} of task {name} has a payload but no header; restore a backup")
        return EventAppended(header(known), created=False)
    made = EventHeader(
        VERSION, tenant, next(scribe.ids), name, seq, draft.key, draft.kind, draft.time, draft.principal,
        draft.on_behalf_of, draft.cause, draft.trace_id, commit(salt, draft.payload),
    )  # fmt: skip
    row = (
        tenant, name, seq, VERSION, made.id, draft.key, draft.kind.value, draft.time, draft.principal,
        draft.on_behalf_of, draft.cause, draft.trace_id, made.commitment,
    )  # fmt: skip
    scribe.change(_EVENT, row)
    task.seq = seq
    scribe.headers.append(made)
    scribe.log_now = scribe.log_now or task.finished
    return EventAppended(made, created=True)
