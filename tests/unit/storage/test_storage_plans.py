"""Reads and conditional writes find their rows by an index: none of them reads a table through."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from multiagent.storage.factory import DATABASE
from multiagent.storage.sql.sqlite import budgets, calls, reader, scribe, steps, tasks
from multiagent.storage.sql.sqlite.connect import open_writable
from multiagent.storage.sql.sqlite.reader import Row, SqliteReader
from multiagent.storage.sql.sqlite.scribe import Value
from multiagent.storage.sql.sqlite.writer import SqliteWriter
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, creates

FRAGMENTS = {"_TASK", "_AGENT"}
"""Constants of the reader that are completed where they are used; seen by the test of its methods."""


def statements() -> list[tuple[str, str]]:
    """Every constant statement of the handlers and of the reader."""
    return [
        (f"{module.__name__.rpartition('.')[2]}.{name}", text)
        for module in (budgets, calls, scribe, steps, tasks, reader)
        for name, text in vars(module).items()
        if isinstance(text, str) and text.startswith(("SELECT", "UPDATE", "WITH"))
        and not (module is reader and name in FRAGMENTS)
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
    connection = open_writable(tmp_path / DATABASE, "NORMAL")
    wrong = [
        f"{sql}: {line}"
        for sql in seen
        for line in plan(connection, sql).splitlines()
        if (line.startswith("SCAN") and "tasks_unfinished" not in line and "commands_open" not in line)
        or "TEMP B-TREE" in line
    ]
    connection.close()
    assert not wrong, "\n".join(wrong)
    assert len(seen) == 14
