"""The tables are the same on SQLite and on PostgreSQL, made by the same migrations, by however many processes."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from multiagent.storage.sql import migrate
from multiagent.storage.sql.version import VERSION
from multiagent.testing.servers.postgres import PostgresServer

TYPES = {"TEXT": "text", "BIGINT": "integer", "BLOB": "bytes", "BYTEA": "bytes"}
OURS = "alembic_version"


def shape(connection: sa.Connection) -> dict[str, Any]:
    """What a database is made of, in words that both dialects share."""
    inspector = sa.inspect(connection)
    return {
        table: {
            "columns": [
                (one["name"], TYPES[str(one["type"]).partition(" ")[0]], one["nullable"], default(one["default"]))
                for one in inspector.get_columns(table)
            ],
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted(
                (str(one["name"]), tuple(one["column_names"]), bool(one["unique"]), where(connection, one))
                for one in inspector.get_indexes(table)
            ),
        }
        for table in inspector.get_table_names()
        if table != OURS
    }


def default(value: str | None) -> str | None:
    return None if value is None else value.partition("::")[0]


def where(connection: sa.Connection, index: Any) -> str:
    """The condition of an index: PostgreSQL writes it in its own way."""
    dialect = connection.dialect.name
    condition = str(index.get("dialect_options", {}).get(f"{dialect}_where", ""))
    if "status" in condition:
        return str(sorted(one for one in ("queued", "running", "waiting", "paused") if one in condition))
    for noise in ("::text", "(", ")", " "):
        condition = condition.replace(noise, "")
    return condition


async def postgres_shape(url: str) -> dict[str, Any]:
    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"), poolclass=sa.NullPool)
    async with engine.connect() as connection:
        found = await connection.run_sync(shape)
    await engine.dispose()
    return found


async def test_the_tables_are_equal_on_both(tmp_path: Path, postgres: str) -> None:
    migrate.upgrade(tmp_path / "ours.db")
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(tmp_path / "ours.db"))
    with engine.connect() as connection:
        expected = shape(connection)
    engine.dispose()
    found = await postgres_shape(postgres)
    assert set(found) == set(expected)
    for table, parts in expected.items():
        assert found[table] == parts, table


async def test_texts_are_ordered_by_their_code_points(postgres_server: PostgresServer, postgres: str) -> None:
    others = postgres_server.sql(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text' "
        "AND collation_name IS DISTINCT FROM 'C'",
        postgres,
    )
    assert others == "0"


async def test_many_processes_may_make_the_tables_at_once(postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    await asyncio.gather(*(migrate.upgrade_postgres(url) for _ in range(4)))
    assert postgres_server.sql("SELECT version_num FROM alembic_version", url) == f"{VERSION:04d}"


async def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, postgres_server: PostgresServer, postgres: str
) -> None:
    for file in migrate.MIGRATIONS.glob("m*.*"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "m9999_broken.py").write_text(
        f'from alembic import op\n\nrevision = "9999"\ndown_revision = "{VERSION:04d}"\n\n\n'
        'def upgrade():\n    op.drop_table("users")\n    op.execute("SELECT no_such_function()")\n',
        encoding="utf-8",
    )
    before = await postgres_shape(postgres)
    with pytest.raises(Exception, match="no_such_function"):
        await migrate.upgrade_postgres(postgres, folder=tmp_path)
    assert await postgres_shape(postgres) == before
    assert postgres_server.sql("SELECT version_num FROM alembic_version", postgres) == f"{VERSION:04d}"
