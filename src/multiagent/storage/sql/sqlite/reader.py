"""Reads: raw statements over read-only connections.

Reads of a few rows by key run where they are asked for, on the event loop: a read-only connection never waits for the
writer, and the thread that would hide 20 microseconds costs 100. Reads that may be long have a small pool of threads.
"""

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

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
from multiagent.storage.sql.sqlite import keeping
from multiagent.storage.sql.sqlite.connect import open_readonly
from multiagent.storage.sql.sqlite.faults import storage_error, told
from multiagent.storage.sql.sqlite.schedules import keyed_query, schedules_query

T = TypeVar("T")

THREADS: Final = 2

_MESSAGE: Final = msgspec.json.Decoder(Message)

_TASK: Final = """SELECT tenant_id, id, workflow, user_id, session_id, query, mode, status, input, principal, result,
 error, usage, total_cost_pico, duration_ms, created_at, updated_at,
 (SELECT coalesce(max(seq), 0) FROM events e WHERE e.tenant_id = t.tenant_id AND e.task = t.id), waits_for,
 parent_id, root_id, forked_at, json_extract(metadata, '$.began'),
 json_extract(metadata, '$.named')
 FROM task_executions t"""
_AGENT: Final = f"SELECT {AGENT} FROM agent_executions"
_EVENTS: Final = f"""SELECT {", ".join(f"e.{one.strip()}" for one in HEADER.split(","))}, p.payload FROM events e
 LEFT JOIN event_payloads p ON p.tenant_id = e.tenant_id AND p.task = e.task AND p.key = e.key
 WHERE e.tenant_id = ? AND e.task = ? AND e.seq > ? ORDER BY e.seq LIMIT ?"""
_JOURNAL: Final = f"SELECT {JOURNAL} FROM journal WHERE tenant_id = ? AND task = ? ORDER BY n"
_CHAIN: Final = """WITH RECURSIVE chain(depth, hash, parent, body, ref) AS (
 SELECT 0, hash, parent, body, ref FROM messages WHERE tenant_id = ?1 AND hash = ?2
 UNION ALL SELECT depth + 1, m.hash, m.parent, m.body, m.ref FROM chain, messages m
 WHERE m.tenant_id = ?1 AND m.hash = chain.parent AND depth < 100000)
 SELECT parent, body, ref FROM chain ORDER BY depth DESC"""
_SCOPE: Final = f"""SELECT {SCOPE} FROM budget_scopes
 WHERE tenant_id = ? AND kind = ? AND id = ? AND "window" = ? AND window_start = ?"""
_HEAD: Final = """SELECT prompt, completion, cached, written, reasoning FROM usage INDEXED BY usage_head
 WHERE tenant_id = ? AND head_hash = ? AND head_hash <> '' AND model = ? AND estimated = 0 ORDER BY id DESC LIMIT 1"""
_BILL: Final = """SELECT coalesce(sum(prompt), 0), coalesce(sum(completion), 0), coalesce(sum(cached), 0),
 coalesce(sum(written), 0), coalesce(sum(reasoning), 0), coalesce(sum(cost_pico), 0), coalesce(sum(saved_pico), 0),
 count(*) FROM usage WHERE tenant_id = ? AND task = ?"""
_LOST: Final = """SELECT coalesce(sum(need_tokens), 0), coalesce(sum(need_pico), 0) FROM reservations
 INDEXED BY reservations_lost WHERE tenant_id = ? AND task = ? AND state = 'lost'"""
_APPROVAL: Final = f"SELECT {APPROVAL} FROM approvals"
_SESSION: Final = f"{SESSION} FROM sessions"
_PENDING: Final = " AND state = 'pending'"
_TOOLS: Final = """SELECT coalesce(sum(tool_calls_count), 0) FROM agent_executions
 WHERE tenant_id = ? AND task_execution_id = ?"""


class SqliteReader:
    """See ``Reader``. Each read sees one committed state of the file."""

    def __init__(self, path: Path, bodies: Bodies | None = None) -> None:
        self._path = path
        self._bodies = bodies
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._near: sqlite3.Connection | None = None
        self._made: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="storage-reader")

    async def close(self) -> None:
        """End the threads and close the files."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
        for connection in (*self._made, *([self._near] if self._near else [])):
            connection.close()
        self._near = None

    async def task(self, tenant: str, task: str) -> TaskRow | None:
        """See ``Reader.task``."""
        rows = self._few(f"{_TASK} WHERE tenant_id = ? AND id = ?", (tenant, task))
        return task_row(rows[0]) if rows else None

    async def tasks(
        self, tenant: str, *, status: TaskStatus | None = None, before: str = "", limit: int = 50
    ) -> tuple[TaskRow, ...]:
        """See ``Reader.tasks``."""
        index = "" if status is None else " INDEXED BY tasks_status"
        sql, values = f"{_TASK}{index} WHERE tenant_id = ?", [tenant]
        if status is not None:
            sql += " AND status = ?"
            values.append(status)
        if before:
            sql += " AND id < ?"
            values.append(before)
        rows = await self._rows(f"{sql} ORDER BY id DESC LIMIT ?", (*values, limit))
        return tuple(map(task_row, rows))

    async def unfinished(self) -> tuple[TaskRow, ...]:
        """See ``Reader.unfinished``."""
        where = "status IN ('queued', 'running', 'waiting', 'paused')"
        rows = await self._rows(f"{_TASK} WHERE {where} ORDER BY created_at, id")
        return tuple(map(task_row, rows))

    async def agents(self, tenant: str, task: str) -> tuple[AgentRow, ...]:
        """See ``Reader.agents``."""
        where = "WHERE tenant_id = ? AND task_execution_id = ? ORDER BY agent_id"
        return tuple(map(agent_row, await self._rows(f"{_AGENT} {where}", (tenant, task))))

    async def commands(self, limit: int = 100) -> tuple[CommandRow, ...]:
        """See ``Reader.commands``."""
        sql = f"SELECT {COMMAND} FROM commands WHERE delivered_at IS NULL"
        rows = await self._rows(f"{sql} ORDER BY time, id LIMIT ?", (limit,))
        return tuple(map(command_row, rows))

    async def overdue(self, time: int, limit: int = 100) -> tuple[tuple[str, str], ...]:
        """See ``Reader.overdue``."""
        sql = "SELECT tenant_id, id FROM reservations WHERE state = 'held' AND deadline < ? ORDER BY deadline LIMIT ?"
        return tuple((text(row[0]), text(row[1])) for row in await self._rows(sql, (time, limit)))

    async def events(self, tenant: str, task: str, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """See ``Reader.events``."""
        rows = await self._rows(_EVENTS, (tenant, task, after, limit))
        return tuple(Event(header(row[:13]), blob(row[13])) for row in rows)

    async def journal(self, tenant: str, task: str) -> tuple[Outcome, ...]:
        """See ``Reader.journal``."""
        return tuple(map(outcome, await self._rows(_JOURNAL, (tenant, task))))

    async def results(self, tenant: str, task: str) -> dict[str, StoredResult]:
        """See ``Reader.results``."""
        sql = f"SELECT {RESULT} FROM results WHERE tenant_id = ? AND task = ? AND status <> 'leased' ORDER BY key"
        return {one.key: one for one in map(stored, await self._rows(sql, (tenant, task)))}

    async def result(self, tenant: str, task: str, key: str) -> StoredResult | None:
        """See ``Reader.result``."""
        sql = f"SELECT {RESULT} FROM results WHERE tenant_id = ? AND task = ? AND key = ? AND status <> 'leased'"
        rows = self._few(sql, (tenant, task, key))
        return stored(rows[0]) if rows else None

    async def completion(self, tenant: str, key: str) -> Completion | None:
        """See ``Reader.completion``."""
        sql = "SELECT request_hash, answer FROM completions WHERE tenant_id = ? AND key = ?"
        rows = self._few(sql, (tenant, key))
        return Completion(text(rows[0][0]), blob(rows[0][1])) if rows else None

    async def chain(self, tenant: str, head: str) -> tuple[Message, ...]:
        """See ``Reader.chain``."""
        if not head:
            return ()
        rows = self._few(_CHAIN, (tenant, head))
        if not rows or rows[0][0] != "":
            missing = text(rows[0][0]) if rows else head
            raise NotFound(f"message {missing} of the conversation {head} is not stored")
        return tuple([_MESSAGE.decode(await self._body(tenant, blob(row[1]), text(row[2]))) for row in rows])

    async def scope(self, tenant: str, scope: ScopeRef) -> ScopeState | None:
        """See ``Reader.scope``."""
        rows = self._few(_SCOPE, (tenant, scope.kind, scope.id, scope.window, scope.window_start))
        return scope_state(scope, rows[0]) if rows else None

    async def reported_prompt(self, tenant: str, head_hash: str, model: str) -> Usage | None:
        """See ``Reader.reported_prompt``; estimates are not reports."""
        rows = self._few(_HEAD, (tenant, head_hash, model))
        return Usage(*map(whole, rows[0])) if rows else None

    async def bill(self, tenant: str, task: str) -> Bill:
        """See ``Reader.bill``."""

        def read(connection: sqlite3.Connection) -> tuple[Row, Row, Row]:
            connection.execute("BEGIN")
            try:
                used, lost, tools = (
                    connection.execute(sql, (tenant, task)).fetchone() for sql in (_BILL, _LOST, _TOOLS)
                )
            finally:
                connection.execute("COMMIT")
            return used, lost, tools

        used, lost, tools = (tuple(map(whole, row)) for row in await self._read(read))
        return Bill(Usage(*used[:5]), used[5], used[6], lost[0], lost[1], used[7], tools[0])

    async def session(self, tenant: str, session: str) -> SessionRow | None:
        """See ``Reader.session``."""
        rows = self._few(f"SELECT {_SESSION} WHERE tenant_id = ? AND id = ?", (tenant, session))
        return session_row(rows[0]) if rows else None

    async def sessions(self, tenant: str, limit: int = 100) -> tuple[SessionRow, ...]:
        """See ``Reader.sessions``."""
        rows = await self._rows(
            f"SELECT {_SESSION} WHERE tenant_id = ? ORDER BY created_at DESC, id LIMIT ?", (tenant, limit)
        )
        return tuple(map(session_row, rows))

    async def memory(self, tenant: str, session: str) -> bytes:
        """See ``Reader.memory``."""
        rows = self._few("SELECT context FROM sessions WHERE tenant_id = ? AND id = ?", (tenant, session))
        return text(rows[0][0]).encode() if rows else b""

    async def weights(self, tenant: str) -> tuple[TaskWeight, ...]:
        """See ``Reader.weights``."""
        rows = await self._rows(keeping.WEIGHTS, (tenant,))
        return tuple(TaskWeight(text(row[0]), whole(row[1]), whole(row[2])) for row in rows)

    async def log(self, tenant: str, after: int = 0, limit: int = 1000) -> tuple[LogRow, ...]:
        """See ``Reader.log``."""
        sql = "SELECT position, task, seq FROM log WHERE tenant_id = ? AND position > ? ORDER BY position LIMIT ?"
        rows = await self._rows(sql, (tenant, after, limit))
        return tuple(LogRow(whole(row[0]), text(row[1]), whole(row[2])) for row in rows)

    async def schedules(self, tenant: str = "", schedule: str = "") -> tuple[ScheduleRow, ...]:
        """See ``Reader.schedules``."""
        return tuple(map(schedule_row, self._few(*schedules_query(tenant, schedule))))

    async def keyed_tasks(
        self, tenant: str, prefix: str, *, under_way: bool = False, limit: int = 100
    ) -> tuple[KeyedTask, ...]:
        """See ``Reader.keyed_tasks``."""
        sql, values = keyed_query(tenant, prefix, under_way=under_way)
        return tuple(map(keyed_task, await self._rows(sql, (*values, limit))))

    async def command(self, tenant: str, command: str) -> CommandState | None:
        """See ``Reader.command``."""
        sql = "SELECT id, task, kind, delivered_at, error FROM commands WHERE tenant_id = ? AND id = ?"
        rows = self._few(sql, (tenant, command))
        return command_state(rows[0]) if rows else None

    async def approvals(
        self, tenant: str, *, task: str = "", pending: bool = True, limit: int = 100
    ) -> tuple[ApprovalRow, ...]:
        """See ``Reader.approvals``."""
        index = " INDEXED BY approvals_task" if task else " INDEXED BY approvals_pending" if pending else ""
        where = f"{' AND task = ?' if task else ''}{_PENDING if pending else ''}"
        order = "requested_at, id" if pending else "requested_at DESC, id DESC"
        values = (tenant, task, limit) if task else (tenant, limit)
        rows = await self._rows(f"{_APPROVAL}{index} WHERE tenant_id = ?{where} ORDER BY {order} LIMIT ?", values)
        return tuple(map(approval_row, rows if pending else reversed(rows)))

    async def approval(self, tenant: str, approval: str) -> ApprovalRow | None:
        """See ``Reader.approval``."""
        rows = self._few(f"{_APPROVAL} WHERE tenant_id = ? AND id = ?", (tenant, approval))
        return approval_row(rows[0]) if rows else None

    async def approval_state(self, tenant: str, approval: str) -> str | None:
        """See ``Reader.approval_state``."""
        rows = self._few("SELECT state FROM approvals WHERE tenant_id = ? AND id = ?", (tenant, approval))
        return text(rows[0][0]) if rows else None

    async def _body(self, tenant: str, body: bytes, ref: str) -> bytes:
        if not ref:
            return body
        if self._bodies is None:
            raise NotFound(f"object {ref} is needed, and this reader was opened without objects")
        return await asyncio.to_thread(self._bodies.fetch, tenant, ref)

    def _few(self, sql: str, values: Sequence[Value]) -> list[Row]:
        if self._near is None:
            self._near = open_readonly(self._path)
        try:
            return self._near.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise storage_error(error, self._path) from error

    async def _rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return await self._read(lambda connection: connection.execute(sql, values).fetchall())

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._with_connection, work)

    def _with_connection(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = open_readonly(self._path)
            self._made.append(connection)
        try:
            with told(self._path):
                return work(connection)
        finally:
            self._idle.put(connection)
