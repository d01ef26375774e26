"""The schema: migrations, tables and the script of a fresh database are one and the same."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from multiagent.storage.factory import DATABASE, open_storage
from multiagent.storage.sql import migrate
from multiagent.storage.sql.sqlite import connect, schema
from multiagent.storage.sql.tables import METADATA
from multiagent.storage.sql.version import VERSION
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import TENANT, appends, creates

NAMED = {
    "task_executions", "agent_executions", "commands", "results", "journal", "messages", "blobs", "events",
    "event_payloads", "log", "log_head", "log_pending", "budget_scopes", "waiters", "reservations",
    "reservation_scopes", "completions", "usage", "intents", "approvals", "users", "tenants", "sessions", "schedules",
}  # fmt: skip
SEED = {
    "users": "id external_id email tenant_id metadata created_at updated_at",
    "sessions": "id user_id context token_budget tokens_used created_at expires_at",
    "task_executions": "id workflow_id user_id session_id query mode status result total_tokens duration_ms metadata "
    "created_at",
    "agent_executions": "task_execution_id agent_id query status result model_used provider tokens execution_time_ms "
    "tool_calls_count created_at",
}
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("mood", sa.Text, nullable=False, server_default="calm"))
    {more}
"""


def shape(path: Path) -> list[tuple[str, ...]]:
    """Return what a database is made of, spaces aside."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY 1, 2"
    ).fetchall()
    connection.close()
    return [tuple(" ".join(column.split()) for column in row) for row in rows]


def test_the_script_is_rendered_from_the_tables() -> None:
    assert schema.SCRIPT.read_text(encoding="utf-8") == schema.render(), (
        "run python -m multiagent.storage.sql.sqlite.schema"
    )


async def test_migrations_from_nothing_make_what_the_script_makes(tmp_path: Path) -> None:
    migrate.upgrade(tmp_path / "migrated.db")
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()):
        pass
    assert shape(tmp_path / "migrated.db") == shape(tmp_path / DATABASE)
    for name in ("migrated.db", DATABASE):
        connection = sqlite3.connect(tmp_path / name)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(f"{VERSION:04d}",)]
        connection.close()


def test_every_table_has_its_tenant_first_and_a_version() -> None:
    assert set(METADATA.tables) == NAMED
    for table in METADATA.tables.values():
        assert next(iter(table.primary_key.columns)).name == "tenant_id"
        assert not table.c.tenant_id.nullable
        assert "v" in table.c
        for index in table.indexes:
            if index.unique:
                assert next(iter(index.columns)).name == "tenant_id"


@pytest.mark.requirement("S.data.tables")
def test_the_columns_of_the_users_own_tables_are_there() -> None:
    for name, columns in SEED.items():
        assert set(columns.split()) <= set(METADATA.tables[name].c.keys())


async def test_an_older_database_is_brought_up_to_date_with_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = newer(tmp_path, "")
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()) as storage:
        await storage.writer.commit(creates(), appends("w/1"))
    monkeypatch.setattr(connect, "VERSION", VERSION + 1)
    monkeypatch.setattr(migrate.upgrade, "__kwdefaults__", {"folder": folder})
    for _ in range(2):
        async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(start=9)) as storage:
            assert len(await storage.reader.events(TENANT, "t1")) == 1
            assert (await storage.writer.commit(creates("t2", key="k")))[0] is not None
    connection = sqlite3.connect(tmp_path / DATABASE)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    assert "mood" in [row[1] for row in connection.execute("PRAGMA table_info(sessions)")]
    connection.close()


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    folder = newer(tmp_path, "op.execute('SELECT no_such_function()')")
    async with open_storage(tmp_path, clock=ManualClock(), ids=CountedIds()):
        pass
    before = shape(tmp_path / DATABASE)
    with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
        migrate.upgrade(tmp_path / DATABASE, folder=folder)
    assert shape(tmp_path / DATABASE) == before
    connection = sqlite3.connect(tmp_path / DATABASE)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


def newer(tmp_path: Path, more: str) -> Path:
    """Return a folder with today's migrations and one more."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for file in migrate.MIGRATIONS.glob("m*.*"):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    text = NEXT.replace("{more}", more).replace("{before}", f"{VERSION:04d}")
    (folder / "m9999_mood.py").write_text(text.replace("{revision}", f"{VERSION + 1:04d}"), encoding="utf-8")
    return folder


def test_a_start_loads_neither_sqlalchemy_nor_alembic(tmp_path: Path) -> None:
    """Neither on a fresh home nor on one that is there."""
    code = """
import asyncio, pathlib, sys
from multiagent.storage.factory import open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
async def main():
    for _ in range(2):
        async with open_storage(pathlib.Path(sys.argv[1]), clock=ManualClock(), ids=CountedIds()):
            pass
asyncio.run(main())
print([name for name in ("sqlalchemy", "alembic", "aiosqlite", "obstore") if name in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "[]\n"
