"""Reads on PostgreSQL, each one statement: it sees one committed state."""

import asyncio
from typing import Final

import msgspec

from multiagent.core.budget import ScopeRef, ScopeState
from multiagent.core.errors import NotFound
from multiagent.core.events import Event
from multiagent.core.messages import Message
from multiagent.core.outcome import Outcome
from multiagent.core.task import TaskStatus
from multiagent.core.usage import Bill, Usage
from multiagent.storage.objects.base import Bodies
from multiagent.storage.sql.base import (
    AgentRow,
    ApprovalRow,
    CommandRow,
    CommandState,
    Completion,
    LogRow,
    SessionRow,
    TaskRow,
    TaskWeight,
)
from multiagent.storage.sql.ops import StoredResult
from multiagent.storage.sql.postgres.faults import RAISED, lost, storage_error
from multiagent.storage.sql.postgres.keeping import WEIGHTS
from multiagent.storage.sql.postgres.pool import Pool
from multiagent.storage.sql.postgres.schedules import KEYED_TASKS, SCHEDULES, key_after
from multiagent.storage.sql.rows import (
    AGENT,
    APPROVAL,
    COMMAND,
    HEADER,
    JOURNAL,
    RESULT,
    SCOPE,
    SESSION,
    Row,
    Value,
    agent_row,
    approval_row,
    blob,
    command_row,
    command_state,
    header,
    keyed_task,
    outcome,
    schedule_row,
    scope_state,
    session_row,
    stored,
    task_row,
    text,
    whole,
)
from multiagent.storage.sql.schedules import KeyedTask, ScheduleRow

_MESSAGE: Final = msgspec.json.Decoder(Message)

_TASK: Final = """SELECT tenant_id, id, workflow, user_id, session_id, query, mode, status, input, principal, result,
 error, usage, total_cost_pico, duration_ms, created_at, updated_at, last_seq, waits_for, parent_id, root_id, forked_at,
 (metadata::jsonb ->> 'began')::bigint, metadata::jsonb ->> 'named' FROM task_executions"""
_EVENTS: Final = f"""SELECT {", ".join(f"e.{one.strip()}" for one in HEADER.split(","))}, p.payload FROM events e
 LEFT JOIN event_payloads p ON p.tenant_id = e.tenant_id AND p.task = e.task AND p.key = e.key
 WHERE e.tenant_id = $1 AND e.task = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4"""
_CHAIN: Final = """WITH RECURSIVE chain(depth, hash, parent, body, ref) AS (
 SELECT 0, hash, parent, body, ref FROM messages WHERE tenant_id = $1 AND hash = $2
 UNION ALL SELECT depth + 1, m.hash, m.parent, m.body, m.ref FROM chain, messages m
 WHERE m.tenant_id = $1 AND m.hash = chain.parent AND depth < 100000)
 SELECT parent, body, ref FROM chain ORDER BY depth DESC"""
_SCOPE: Final = f"""SELECT {SCOPE} FROM budget_scopes
 WHERE tenant_id = $1 AND kind = $2 AND id = $3 AND "window" = $4 AND window_start = $5"""
_HEAD: Final = """SELECT prompt, completion, cached, written, reasoning FROM usage
 WHERE tenant_id = $1 AND head_hash = $2 AND head_hash <> '' AND model = $3 AND estimated = 0
 ORDER BY id DESC LIMIT 1"""
_BILL: Final = """SELECT u.*, lost.*, tools.* FROM
 (SELECT sum(prompt), sum(completion), sum(cached), sum(written), sum(reasoning), sum(cost_pico), sum(saved_pico),
 count(*) FROM usage WHERE tenant_id = $1 AND task = $2) u,
 (SELECT sum(need_tokens), sum(need_pico) FROM reservations
 WHERE tenant_id = $1 AND task = $2 AND state = 'lost') lost,
 (SELECT sum(tool_calls_count) FROM agent_executions WHERE tenant_id = $1 AND task_execution_id = $2) tools"""
_RESULTS: Final = f"SELECT {RESULT} FROM results WHERE tenant_id = $1 AND task = $2 AND status <> 'leased'"


class PostgresReader:
    """See ``Reader``."""

    def __init__(self, pool: Pool, bodies: Bodies | None = None) -> None:
        self._pool = pool
        self._bodies = bodies

    async def task(self, tenant: str, task: str) -> TaskRow | None:
        """See ``Reader.task``."""
        rows = await self._rows(f"{_TASK} WHERE tenant_id = $1 AND id = $2", tenant, task)
        return task_row(rows[0]) if rows else None

    async def tasks(
        self, tenant: str, *, status: TaskStatus | None = None, before: str = "", limit: int = 50
    ) -> tuple[TaskRow, ...]:
        """See ``Reader.tasks``."""
        sql, values = f"{_TASK} WHERE tenant_id = $1", [tenant]
        for condition, value in (("status = ", status), ("id < ", before)):
            if value:
                values.append(value)
                sql += f" AND {condition}${len(values)}"
        rows = await self._rows(f"{sql} ORDER BY id DESC LIMIT ${len(values) + 1}", *values, limit)
        return tuple(map(task_row, rows))

    async def unfinished(self) -> tuple[TaskRow, ...]:
        """See ``Reader.unfinished``."""
        where = "status IN ('queued', 'running', 'waiting', 'paused')"
        return tuple(map(task_row, await self._rows(f"{_TASK} WHERE {where} ORDER BY created_at, id")))

    async def agents(self, tenant: str, task: str) -> tuple[AgentRow, ...]:
        """See ``Reader.agents``."""
        sql = f"SELECT {AGENT} FROM agent_executions WHERE tenant_id = $1 AND task_execution_id = $2 ORDER BY agent_id"
        return tuple(map(agent_row, await self._rows(sql, tenant, task)))

    async def commands(self, limit: int = 100) -> tuple[CommandRow, ...]:
        """See ``Reader.commands``."""
        sql = f"SELECT {COMMAND} FROM commands WHERE delivered_at IS NULL ORDER BY time, id LIMIT $1"
        return tuple(map(command_row, await self._rows(sql, limit)))

    async def overdue(self, time: int, limit: int = 100) -> tuple[tuple[str, str], ...]:
        """See ``Reader.overdue``."""
        sql = "SELECT tenant_id, id FROM reservations WHERE state = 'held' AND deadline < $1 ORDER BY deadline LIMIT $2"
        return tuple((text(row[0]), text(row[1])) for row in await self._rows(sql, time, limit))

    async def events(self, tenant: str, task: str, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """See ``Reader.events``."""
        rows = await self._rows(_EVENTS, tenant, task, after, limit)
        return tuple(Event(header(row[:13]), blob(row[13])) for row in rows)

    async def journal(self, tenant: str, task: str) -> tuple[Outcome, ...]:
        """See ``Reader.journal``."""
        sql = f"SELECT {JOURNAL} FROM journal WHERE tenant_id = $1 AND task = $2 ORDER BY n"
        return tuple(map(outcome, await self._rows(sql, tenant, task)))

    async def results(self, tenant: str, task: str) -> dict[str, StoredResult]:
        """See ``Reader.results``."""
        rows = await self._rows(f"{_RESULTS} ORDER BY key", tenant, task)
        return {one.key: one for one in map(stored, rows)}

    async def result(self, tenant: str, task: str, key: str) -> StoredResult | None:
        """See ``Reader.result``."""
        rows = await self._rows(f"{_RESULTS} AND key = $3", tenant, task, key)
        return stored(rows[0]) if rows else None

    async def completion(self, tenant: str, key: str) -> Completion | None:
        """See ``Reader.completion``."""
        sql = "SELECT request_hash, answer FROM completions WHERE tenant_id = $1 AND key = $2"
        rows = await self._rows(sql, tenant, key)
        return Completion(text(rows[0][0]), blob(rows[0][1])) if rows else None

    async def chain(self, tenant: str, head: str) -> tuple[Message, ...]:
        """See ``Reader.chain``."""
        if not head:
            return ()
        rows = await self._rows(_CHAIN, tenant, head)
        if not rows or rows[0][0] != "":
            missing = text(rows[0][0]) if rows else head
            raise NotFound(f"message {missing} of the conversation {head} is not stored")
        return tuple([_MESSAGE.decode(await self._body(tenant, blob(row[1]), text(row[2]))) for row in rows])

    async def scope(self, tenant: str, scope: ScopeRef) -> ScopeState | None:
        """See ``Reader.scope``."""
        rows = await self._rows(_SCOPE, tenant, scope.kind, scope.id, scope.window, scope.window_start)
        return scope_state(scope, rows[0]) if rows else None

    async def reported_prompt(self, tenant: str, head_hash: str, model: str) -> Usage | None:
        """See ``Reader.reported_prompt``; estimates are not reports."""
        rows = await self._rows(_HEAD, tenant, head_hash, model)
        return Usage(*map(whole, rows[0])) if rows else None

    async def bill(self, tenant: str, task: str) -> Bill:
        """See ``Reader.bill``. Sums are exact: PostgreSQL adds whole numbers as NUMERIC."""
        (row,) = await self._rows(_BILL, tenant, task)
        sums = [int(one or 0) for one in row]
        return Bill(Usage(*sums[:5]), sums[5], sums[6], sums[8], sums[9], sums[7], sums[10])

    async def session(self, tenant: str, session: str) -> SessionRow | None:
        """See ``Reader.session``."""
        rows = await self._rows(f"SELECT {SESSION} FROM sessions WHERE tenant_id = $1 AND id = $2", tenant, session)
        return session_row(rows[0]) if rows else None

    async def sessions(self, tenant: str, limit: int = 100) -> tuple[SessionRow, ...]:
        """See ``Reader.sessions``."""
        sql = f"SELECT {SESSION} FROM sessions WHERE tenant_id = $1 ORDER BY created_at DESC, id LIMIT $2"
        return tuple(map(session_row, await self._rows(sql, tenant, limit)))

    async def memory(self, tenant: str, session: str) -> bytes:
        """See ``Reader.memory``."""
        rows = await self._rows("SELECT context FROM sessions WHERE tenant_id = $1 AND id = $2", tenant, session)
        return text(rows[0][0]).encode() if rows else b""

    async def weights(self, tenant: str) -> tuple[TaskWeight, ...]:
        """See ``Reader.weights``."""
        rows = await self._rows(WEIGHTS, tenant)
        return tuple(TaskWeight(text(row[0]), whole(row[1]), whole(row[2])) for row in rows)

    async def log(self, tenant: str, after: int = 0, limit: int = 1000) -> tuple[LogRow, ...]:
        """See ``Reader.log``."""
        sql = "SELECT position, task, seq FROM log WHERE tenant_id = $1 AND position > $2 ORDER BY position LIMIT $3"
        rows = await self._rows(sql, tenant, after, limit)
        return tuple(LogRow(whole(row[0]), text(row[1]), whole(row[2])) for row in rows)

    async def schedules(self, tenant: str = "", schedule: str = "") -> tuple[ScheduleRow, ...]:
        """See ``Reader.schedules``."""
        return tuple(map(schedule_row, await self._rows(SCHEDULES, tenant, schedule)))

    async def keyed_tasks(
        self, tenant: str, prefix: str, *, under_way: bool = False, limit: int = 100
    ) -> tuple[KeyedTask, ...]:
        """See ``Reader.keyed_tasks``."""
        rows = await self._rows(KEYED_TASKS, tenant, prefix, key_after(prefix), under_way, limit)
        return tuple(map(keyed_task, rows))

    async def command(self, tenant: str, command: str) -> CommandState | None:
        """See ``Reader.command``."""
        sql = "SELECT id, task, kind, delivered_at, error FROM commands WHERE tenant_id = $1 AND id = $2"
        rows = await self._rows(sql, tenant, command)
        return command_state(rows[0]) if rows else None

    async def approvals(
        self, tenant: str, *, task: str = "", pending: bool = True, limit: int = 100
    ) -> tuple[ApprovalRow, ...]:
        """See ``Reader.approvals``."""
        sql = f"SELECT {APPROVAL} FROM approvals WHERE tenant_id = $1{' AND task = $3' if task else ''}"
        sql += " AND state = 'pending'" if pending else ""
        order = "requested_at, id" if pending else "requested_at DESC, id DESC"
        rows = await self._rows(f"{sql} ORDER BY {order} LIMIT $2", tenant, limit, *([task] if task else ()))
        return tuple(map(approval_row, rows if pending else reversed(rows)))

    async def approval(self, tenant: str, approval: str) -> ApprovalRow | None:
        """See ``Reader.approval``."""
        sql = f"SELECT {APPROVAL} FROM approvals WHERE tenant_id = $1 AND id = $2"
        rows = await self._rows(sql, tenant, approval)
        return approval_row(rows[0]) if rows else None

    async def approval_state(self, tenant: str, approval: str) -> str | None:
        """See ``Reader.approval_state``."""
        rows = await self._rows("SELECT state FROM approvals WHERE tenant_id = $1 AND id = $2", tenant, approval)
        return text(rows[0][0]) if rows else None

    async def _body(self, tenant: str, body: bytes, ref: str) -> bytes:
        if not ref:
            return body
        if self._bodies is None:
            raise NotFound(f"object {ref} is needed, and this reader was opened without objects")
        return await asyncio.to_thread(self._bodies.fetch, tenant, ref)

    async def _rows(self, sql: str, *values: Value) -> list[Row]:
        """Run a statement; once more where the connection turns out to be gone."""
        try:
            return await self._fetch(sql, *values)
        except RAISED as error:
            if not lost(error):
                raise storage_error(error) from error
        try:
            return await self._fetch(sql, *values)
        except RAISED as error:
            raise storage_error(error) from error

    async def _fetch(self, sql: str, *values: Value) -> list[Row]:
        async with self._pool.connection() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]
