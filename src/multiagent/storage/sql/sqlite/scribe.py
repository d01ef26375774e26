"""What an operation's handler works with, inside the writer's thread and transaction."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from multiagent.core.errors import NotFound
from multiagent.core.events import EventHeader

Value = str | int | bytes | None

ENCODE: Final = msgspec.json.Encoder().encode

_LAST_SEQ: Final = "SELECT last_seq FROM task_executions WHERE tenant_id = ? AND id = ?"
_SET_LAST_SEQ: Final = "UPDATE task_executions SET last_seq = ? WHERE tenant_id = ? AND id = ?"


class Scribe:
    """One connection's cursor, with what has to be remembered between operations of a batch.

    Caches hold only what the file holds too; ``forget`` drops them after a rollback or another process's write.
    """

    def __init__(self, connection: sqlite3.Connection, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._cursor = connection.cursor()
        self._run = self._cursor.execute
        self.entropy = entropy
        self.headers: list[EventHeader] = []
        self.released = False
        self.ids: Iterator[str] = iter(())
        self._last_seq: dict[tuple[str, str], int] = {}
        self._next_n: dict[tuple[str, str], int] = {}
        self._moved: dict[tuple[str, str], int] = {}
        self._position: int | None = None
        self._version: tuple[Value, ...] | None = None

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; return the number of rows it changed."""
        return self._run(sql, values).rowcount

    def one(self, sql: str, values: Sequence[Value] = ()) -> tuple[Value, ...] | None:
        """Run a statement; return its only row."""
        row: tuple[Value, ...] | None = self._run(sql, values).fetchone()
        return row

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]]:
        """Run a statement; return all its rows."""
        return self._run(sql, values).fetchall()

    def change_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """Run a statement once a row; return the number of rows changed in all."""
        return self._cursor.executemany(sql, rows).rowcount

    def last_seq(self, tenant: str, task: str) -> int:
        """Return the number of a task's newest event (0: none yet); NotFound where there is no such task."""
        key = (tenant, task)
        known = self._last_seq.get(key)
        if known is None:
            row = self.one(_LAST_SEQ, key)
            if row is None:
                raise NotFound(f"there is no task {task}; list tasks to see which there are")
            known = self._last_seq[key] = whole(row[0])
        return known

    def move_seq(self, tenant: str, task: str, seq: int) -> None:
        """Say that a task's newest event is now ``seq``; written to its row by ``finish``."""
        key = (tenant, task)
        self._last_seq[key] = self._moved[key] = seq

    def next_n(self, tenant: str, task: str) -> int | None:
        """Return the number that the next journal row must have; None while the journal is empty."""
        key = (tenant, task)
        known = self._next_n.get(key)
        if known is None:
            row = self.one("SELECT max(n) FROM journal WHERE tenant_id = ? AND task = ?", key)
            if row is None or row[0] is None:
                return None
            known = self._next_n[key] = whole(row[0]) + 1
        return known

    def move_n(self, tenant: str, task: str, following: int) -> None:
        """Say which number the next journal row must have."""
        self._next_n[tenant, task] = following

    def next_position(self) -> int:
        """Return a position of the log over all tasks, one above the last."""
        if self._position is None:
            row = self.one("SELECT max(position) FROM log")
            self._position = 0 if row is None or row[0] is None else whole(row[0])
        self._position += 1
        return self._position

    def begin(self) -> None:
        """Start a transaction; drop what is remembered where another process has written since the last one."""
        self._run("BEGIN IMMEDIATE")
        version = self.one("PRAGMA data_version")
        if version != self._version:
            self._version = version
            self.forget()

    def finish(self) -> None:
        """Write what was gathered over one request."""
        for (tenant, task), seq in self._moved.items():
            self._run(_SET_LAST_SEQ, (seq, tenant, task))
        self._moved.clear()

    def forget(self) -> None:
        """Drop all that is remembered."""
        self._moved.clear()
        self._last_seq.clear()
        self._next_n.clear()
        self._position = None

    def trim(self, most: int = 4096) -> None:
        """Keep the caches bounded."""
        if len(self._last_seq) > most:
            self._last_seq.clear()
        if len(self._next_n) > most:
            self._next_n.clear()


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
