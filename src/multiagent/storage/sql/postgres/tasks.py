"""Tasks, agent tasks and commands."""

from typing import Final

from multiagent.core.errors import NotFound
from multiagent.storage.sql.ops import (
    CreateTask,
    DeliverCommand,
    PutAgentExecution,
    StoreCommand,
    TaskCreated,
    UpdateTask,
)
from multiagent.storage.sql.postgres.scribe import Argument, Scribe
from multiagent.storage.sql.rows import ENCODE, text

UNFINISHED: Final = "('queued', 'running', 'waiting', 'paused')"

_CREATE: Final = """WITH made AS (INSERT INTO task_executions
 (tenant_id, id, workflow, workflow_id, user_id, session_id, query, mode, status, input, principal,
 idempotency_key, root_id, parent_id, deadline, created_at, updated_at)
 VALUES ($1, $2, $3, $2, $4, $5, $6, $7, 'queued', $8, $9, $10, $11, $12, $13, $14, $14) ON CONFLICT DO NOTHING
 RETURNING tenant_id, id, input, principal, created_at),
 submitted AS (INSERT INTO commands (tenant_id, id, task, kind, payload, principal, time)
 SELECT tenant_id, id, id, 'submit', input, principal, created_at FROM made ON CONFLICT DO NOTHING)
 SELECT id, pg_notify('multiagent_commands', '') FROM made"""
_BY_IDEMPOTENCY: Final = (
    "SELECT id FROM task_executions WHERE tenant_id = $1 AND idempotency_key = $2 AND idempotency_key <> ''"
)
_COMMAND: Final = """WITH made AS (INSERT INTO commands (tenant_id, id, task, kind, payload, principal, time)
 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id)
 SELECT pg_notify('multiagent_commands', '') FROM made"""
_DELIVER: Final = (
    "UPDATE commands SET delivered_at = $1, error = $2 WHERE tenant_id = $3 AND id = $4 AND delivered_at IS NULL"
)
_IS_THERE: Final = "SELECT 1 FROM task_executions WHERE tenant_id = $1 AND id = $2"
_AGENT: Final = """INSERT INTO agent_executions
 (tenant_id, task_execution_id, agent_id, query, status, result, model_used, provider, tokens, usage, cost_pico,
 execution_time_ms, tool_calls_count, created_at, updated_at)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
 ON CONFLICT (tenant_id, task_execution_id, agent_id) DO UPDATE SET query = excluded.query, status = excluded.status,
 result = excluded.result, model_used = excluded.model_used, provider = excluded.provider, tokens = excluded.tokens,
 usage = excluded.usage, cost_pico = excluded.cost_pico, execution_time_ms = excluded.execution_time_ms,
 tool_calls_count = excluded.tool_calls_count, updated_at = excluded.updated_at"""


async def create_task(scribe: Scribe, op: CreateTask) -> TaskCreated:
    """See ``CreateTask``."""
    made = await scribe.one(
        _CREATE, op.tenant, op.id, op.workflow, op.user, op.session, op.query, op.mode, op.input, op.principal,
        op.idempotency_key, op.root_id or op.id, op.parent_id, op.deadline, op.time,
    )  # fmt: skip
    if made is not None:
        return TaskCreated(op.id, created=True)
    standing = await scribe.one(_BY_IDEMPOTENCY, op.tenant, op.idempotency_key)
    return TaskCreated(op.id if standing is None else text(standing[0]), created=False)


async def update_task(scribe: Scribe, op: UpdateTask) -> None:
    """See ``UpdateTask``. One that carries a status leaves a finished task alone as a whole."""
    values: list[Argument] = [op.tenant, op.id, op.time]
    assignments = ["updated_at = $3"]
    given: tuple[tuple[str, Argument], ...] = (
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
            values.append(value)
            assignments.append(f"{column} = ${len(values)}")
    where = "tenant_id = $1 AND id = $2"
    if op.status is not None:
        where += f" AND status IN {UNFINISHED}"
    if op.only_at is not None:
        values.append(op.only_at)
        at = "SELECT coalesce(max(n), 0) FROM journal WHERE tenant_id = $1 AND task = $2"
        where += f" AND ({at}) = ${len(values)}"
    sql = f"UPDATE task_executions SET {', '.join(assignments)} WHERE {where}"
    if not await scribe.change(sql, *values) and await scribe.one(_IS_THERE, op.tenant, op.id) is None:
        raise NotFound(f"there is no task {op.id}; list tasks to see which there are")


async def put_agent_execution(scribe: Scribe, op: PutAgentExecution) -> None:
    """See ``PutAgentExecution``."""
    await scribe.change(
        _AGENT, op.tenant, op.task, op.agent, op.query, op.status, op.result, op.model, op.vendor, op.usage.total,
        ENCODE(op.usage).decode(), op.cost_pico, op.execution_ms, op.tool_calls, op.time,
    )  # fmt: skip


async def store_command(scribe: Scribe, op: StoreCommand) -> None:
    """See ``StoreCommand``."""
    await scribe.change(_COMMAND, op.tenant, op.id, op.task, op.kind, op.payload, op.principal, op.time)


async def deliver_command(scribe: Scribe, op: DeliverCommand) -> None:
    """See ``DeliverCommand``."""
    await scribe.change(_DELIVER, op.time, op.error, op.tenant, op.id)
