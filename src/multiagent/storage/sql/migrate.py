"""Bringing an older database up to date with Alembic. Loaded only when that is needed."""

import sqlite3
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

MIGRATIONS: Final = Path(__file__).with_name("migrations")


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
