"""Reads and conditional writes find their rows by an index: none of them reads a table through."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from multiagent.storage.factory import DATABASE
from multiagent.storage.sql.ops import LoseOpen
from multiagent.storage.sql.rows import Row, Value
from multiagent.storage.sql.sqlite import approvals, budgets, calls, reader, scribe, steps, tasks
from multiagent.storage.sql.sqlite.connect import open_writable
from multiagent.storage.sql.sqlite.reader import SqliteReader
from multiagent.storage.sql.sqlite.writer import SqliteWriter
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, creates

FRAGMENTS = {"reader._TASK", "reader._AGENT", "reader._APPROVAL", "budgets._HELD"}
"""Constants that are completed where they are used; seen by the tests below."""

BY_TENANT = "(tenant_id=?)"
"""What a search says that reads all rows of a tenant."""


def statements() -> list[tuple[str, str]]:
    """Every constant statement of the handlers and of the reader."""
    return [
        (f"{module.__name__.rpartition('.')[2]}.{name}", text)
        for module in (approvals, budgets, calls, scribe, steps, tasks, reader)
        for name, text in vars(module).items()
        if isinstance(text, str) and text.startswith(("SELECT", "UPDATE", "WITH"))
        and f"{module.__name__.rpartition('.')[2]}.{name}" not in FRAGMENTS
    ]  # fmt: skip


def plan(connection: sqlite3.Connection, sql: str) -> str:
    """Return how SQLite would run a statement, whatever the number of its parameters."""
    for count in range(sql.count("?") + 1):
        try:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [""] * count).fetchall()
        except sqlite3.ProgrammingError:
            continue
        return "\n".join(row[3] for row in rows)
    raise AssertionError(sql)


@pytest.mark.parametrize(("name", "sql"), statements())
def test_a_statement_searches_by_an_index(tmp_path: Path, name: str, sql: str) -> None:
    connection = open_writable(tmp_path / DATABASE, "NORMAL")
    try:
        for line in plan(connection, sql).splitlines():
            scans = line.startswith("SCAN") and "CONSTANT ROW" not in line
            assert not scans or "tasks_unfinished" in line or "tenants" in line or "chain" in line, f"{name}: {line}"
            assert BY_TENANT not in line or name == "scribe._POSITION", f"{name}: {line}"
    finally:
        connection.close()


async def test_every_read_searches_by_an_index(tmp_path: Path) -> None:
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds())
    await writer.commit(creates())
    seen: list[str] = []

    class Watching(SqliteReader):
        def _few(self, sql: str, values: Sequence[Value]) -> list[Row]:
            seen.append(sql)
            return super()._few(sql, values)

        async def _rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
            seen.append(sql)
            return await super()._rows(sql, values)

    reads = Watching(tmp_path / DATABASE)
    await reads.task(TENANT, "t1")
    await reads.tasks(TENANT)
    await reads.tasks(TENANT, status="running", before="x")
    await reads.unfinished()
    await reads.agents(TENANT, "t1")
    await reads.commands()
    await reads.events(TENANT, "t1")
    await reads.journal(TENANT, "t1")
    await reads.results(TENANT, "t1")
    await reads.result(TENANT, "t1", "k")
    await reads.completion(TENANT, "k")
    await reads.session(TENANT, "s")
    await reads.log(TENANT)
    await reads.approval_state(TENANT, "a")
    await reads.close()
    await writer.close()
    wrong = wrong_plans(tmp_path, seen)
    assert not wrong, "\n".join(wrong)
    assert len(seen) == 14


async def test_reservations_are_lost_by_an_index(tmp_path: Path) -> None:
    writer = await SqliteWriter.open(tmp_path / DATABASE, CountedIds())
    seen: list[str] = []
    writer._connection.set_trace_callback(seen.append)
    for key, owner in (("k", ""), ("k", "o"), ("", "o"), ("", "")):
        await writer.commit(LoseOpen(tenant=TENANT, key=key, owner=owner))
    await writer.close()
    found = [sql for sql in seen if "FROM reservations" in sql]
    assert len(found) == 4
    for line in "\n".join(planned(tmp_path, found)).splitlines():
        assert "reservations_key (tenant_id=? AND key=?)" in line or "reservations_held" in line or "ORDER BY" in line


def planned(home: Path, statements: list[str]) -> list[str]:
    """Return the plans of statements."""
    connection = open_writable(home / DATABASE, "NORMAL")
    try:
        return [plan(connection, sql) for sql in statements]
    finally:
        connection.close()


def wrong_plans(home: Path, seen: list[str]) -> list[str]:
    """Return the lines of plans that read more than they need; a list by tenant reads its rows in order."""
    return [
        f"{sql}: {line}"
        for sql, lines in zip(seen, planned(home, seen), strict=True)
        for line in lines.splitlines()
        if (line.startswith("SCAN") and "tasks_unfinished" not in line and "commands_open" not in line)
        or "TEMP B-TREE" in line
        or (BY_TENANT in line and not sql.endswith("ORDER BY id DESC LIMIT ?"))
    ]
