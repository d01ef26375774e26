"""What an operation's handler works with, inside the writer's thread and transaction."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from multiagent.core.errors import NotFound
from multiagent.core.events import EventHeader
from multiagent.storage.objects.base import Bodies
from multiagent.storage.sql.rows import Value, whole

LOG_AFTER: Final = 64
"""Events of unfinished tasks that may wait for their place in the log; a finished task's never wait."""

ENTROPY_BYTES: Final = 4096
"""Asked of the system at once: one call for the salts of 256 events."""

MOST_REMEMBERED: Final = 1024
"""Tasks whose counters are remembered."""

UNFINISHED: Final = "('queued', 'running', 'waiting', 'paused')"
_TASK: Final = """SELECT (SELECT max(seq) FROM events WHERE tenant_id = ?1 AND task = ?2),
 (SELECT max(n) FROM journal WHERE tenant_id = ?1 AND task = ?2), status
 FROM task_executions WHERE tenant_id = ?1 AND id = ?2"""
_UNLOGGED: Final = f"""SELECT e.tenant_id, e.task, e.seq FROM task_executions t, events e
 WHERE t.status IN {UNFINISHED} AND e.tenant_id = t.tenant_id AND e.task = t.id AND e.seq > t.last_seq
 ORDER BY e.time, e.task, e.seq"""
_LOG: Final = "INSERT INTO log (tenant_id, position, task, seq) VALUES (?, ?, ?, ?)"
_LOGGED: Final = "UPDATE task_executions SET last_seq = ? WHERE tenant_id = ? AND id = ?"
_POSITION: Final = """WITH RECURSIVE tenants(id) AS (SELECT min(tenant_id) FROM log
 UNION ALL SELECT (SELECT min(tenant_id) FROM log WHERE tenant_id > tenants.id) FROM tenants WHERE id IS NOT NULL)
 SELECT max((SELECT max(position) FROM log WHERE tenant_id = tenants.id)) FROM tenants"""
FINISHED: Final = frozenset({"completed", "failed", "cancelled", "quarantined"})


class TaskCounters:
    """What is counted for one task: its newest event, its newest journal row (None: none yet), whether it is over."""

    __slots__ = ("finished", "n", "seq")

    def __init__(self, seq: int, n: int | None, finished: bool) -> None:  # noqa: FBT001 — a record
        self.seq = seq
        self.n = n
        self.finished = finished


class Scribe:
    """One connection's cursor, with what is remembered between the operations of a batch and between batches.

    What is remembered is a copy of what the file says: ``forget`` drops it after a rollback, and a transaction starts
    without it where another process has written. The log of events over all tasks is filled here, in the order of
    commits, some events at a time; what a crash left out is found again by ``task_executions.last_seq``, which says
    how far a task's events have been logged.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        bodies: Bodies | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._cursor = connection.cursor()
        self._run = self._cursor.execute
        self.bodies = bodies
        self._entropy = entropy
        self._random, self._taken = b"", 0
        self.ids: Iterator[str] = iter(())
        self.headers: list[EventHeader] = []
        self.copied: list[tuple[Value, ...]] = []
        self.released = False
        self.log_now = False
        self._tasks: dict[tuple[str, str], TaskCounters] = {}
        self._unlogged: list[tuple[Value, ...]] = []
        self._copies = 0  # how many of them a fork has copied: they wait until others are logged
        self._logged = 0
        self._position = 0
        self._version: tuple[Value, ...] | None = None

    def change(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> int:
        """Run a statement; return the number of rows it changed."""
        return self._run(sql, values).rowcount

    def one(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> tuple[Value, ...] | None:
        """Run a statement; return its only row."""
        row: tuple[Value, ...] | None = self._run(sql, values).fetchone()
        return row

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Run a statement; return all its rows."""
        return self._run(sql, values).fetchall()

    def change_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """Run a statement once a row; return the number of rows changed in all."""
        return self._cursor.executemany(sql, rows).rowcount

    def entropy(self, count: int) -> bytes:
        """Return ``count`` bytes that were never given out before."""
        start = self._taken
        self._taken = start + count
        if self._taken > len(self._random):
            self._random, start, self._taken = self._entropy(ENTROPY_BYTES), 0, count
        return self._random[start : start + count]

    def task(self, tenant: str, task: str) -> TaskCounters:
        """Return a task's counters, to be moved on by who uses them; NotFound where there is no such task."""
        known = self._tasks.get((tenant, task))
        if known is None:
            row = self.one(_TASK, (tenant, task))
            if row is None:
                raise NotFound(f"there is no task {task}; list tasks to see which there are")
            n = None if row[1] is None else whole(row[1])
            known = TaskCounters(0 if row[0] is None else whole(row[0]), n, row[2] in FINISHED)
            self._tasks[tenant, task] = known
        return known

    def begin(self) -> None:
        """Start a transaction; learn anew what is remembered where another process has written since the last one."""
        self._run("BEGIN IMMEDIATE")
        self.headers = []
        self.copied = []
        self.released = False
        version = self.one("PRAGMA data_version")
        if version != self._version:
            self.forget()
            row = self.one(_POSITION)
            self._position = 0 if row is None or row[0] is None else whole(row[0])
            self._unlogged, self._copies = self.all(_UNLOGGED), 0
            self._version = version

    def commit(self) -> None:
        """Commit, with the log where it is time."""
        self._logged = 0
        fresh = len(self._unlogged) - self._copies + len(self.headers)
        if self.log_now or fresh >= LOG_AFTER:
            self._log()
        self._run("COMMIT")
        if self._logged:
            self._position += self._logged
            self._unlogged.clear()
            self._copies = 0
        else:
            self._unlogged += self._new()
            self._copies += len(self.copied)

    @property
    def unlogged(self) -> bool:
        """Whether events wait for their place in the log."""
        return bool(self._unlogged)

    def forget(self) -> None:
        """Drop what is remembered of tasks."""
        self._tasks.clear()

    def trim(self) -> None:
        """Keep what is remembered bounded."""
        if len(self._tasks) > MOST_REMEMBERED:
            self._tasks.clear()

    def _new(self) -> list[tuple[Value, ...]]:
        """The events of this transaction; a fork's copies stand before what it says itself."""
        return self.copied + [(one.tenant, one.task, one.seq) for one in self.headers]

    def _log(self) -> None:
        waiting = self._unlogged + self._new()
        self.change_many(_LOG, [(row[0], at, *row[1:]) for at, row in enumerate(waiting, self._position + 1)])
        last = {(row[0], row[1]): row[2] for row in waiting}
        self.change_many(_LOGGED, [(seq, tenant, task) for (tenant, task), seq in last.items()])
        self._logged = len(waiting)
