"""Bringing a database up to date with Alembic, whichever it is. Loaded only when that is needed."""

import re
import sqlite3
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

MIGRATIONS: Final = Path(__file__).with_name("migrations")

_LOCK: Final = 0x4D554C54
"""The advisory lock that one process at a time migrates a PostgreSQL database under ("MULT")."""

_COLLATE: Final = """DO $$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT c.table_name AS name,
      string_agg(format('ALTER COLUMN %I TYPE text COLLATE "C"', c.column_name), ', ') AS changes
    FROM information_schema.columns c JOIN information_schema.columns t
      ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.column_name = 'tenant_id'
    WHERE c.table_schema = current_schema() AND c.data_type = 'text' AND c.collation_name IS NULL
    GROUP BY c.table_name
  LOOP
    EXECUTE format('ALTER TABLE %I %s', wanted.name, wanted.changes);
  END LOOP;
END $$"""
"""Texts are ordered as their code points are, as SQLite orders them, whatever the database's own order is."""

_STATEMENT: Final = re.compile(r".*?\$\$.*?\$\$;\n", re.DOTALL)


def upgrade(path: Path, *, folder: Path = MIGRATIONS) -> None:
    """Run the migrations in ``folder`` that the SQLite database at ``path`` has not seen, all in one transaction.

    Sets ``PRAGMA user_version`` to the number of the last. Raises sqlite3.Error (nothing has changed then).
    """
    engine = sa.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(path, isolation_level=None), poolclass=sa.NullPool
    )
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            number = run(connection, folder)
            connection.exec_driver_sql(f"PRAGMA user_version = {number}")
    except sa.exc.DBAPIError as error:
        raise error.orig if isinstance(error.orig, sqlite3.Error) else error from error
    finally:
        engine.dispose()


async def upgrade_postgres(url: str, *, folder: Path = MIGRATIONS) -> None:
    """Run the migrations in ``folder`` that the PostgreSQL database has not seen, all in one transaction.

    Several processes may do this at once: one does it, the others find it done. Raises what asyncpg raises.
    """
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"), poolclass=sa.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(run, folder)
            await connection.exec_driver_sql(_COLLATE)
    except sa.exc.DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        raise cause or error from error
    finally:
        await engine.dispose()


def run(connection: sa.Connection, folder: Path = MIGRATIONS) -> int:
    """Run the outstanding migrations on an open connection of any dialect; return the number of the last there is."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(connection)
    seen = context.get_current_heads()
    for revision in reversed(list(script.iterate_revisions("heads", "base"))):
        if seen and int(revision.revision) <= int(seen[0]):
            continue
        with Operations.context(context):
            revision.module.upgrade()
        context.stamp(script, revision.revision)
    return int(script.get_heads()[0])


def statements(script: Path) -> list[str]:
    """Return the statements of a script of PostgreSQL functions, each of which ends with ``$$;`` and a line's end."""
    return _STATEMENT.findall(script.read_text(encoding="utf-8"))
