"""Opening a database on PostgreSQL: made or brought up to date by whoever starts first, never one that is newer."""

import asyncpg

from multiagent.core.errors import StorageNewer, StorageUnavailable
from multiagent.storage.sql.postgres.faults import told
from multiagent.storage.sql.postgres.pool import Pool
from multiagent.storage.sql.version import VERSION


async def prepare(pool: Pool, url: str) -> None:
    """Create or migrate the tables where that is needed.

    Raises StorageNewer, StorageUnavailable, StorageError (refused).
    """
    if await version(pool) < VERSION:
        from multiagent.storage.sql.migrate import upgrade_postgres

        with told():
            await upgrade_postgres(url)


async def prepared(pool: Pool) -> bool:
    """Whether the tables are there. Raises StorageUnavailable where they are of an older version, StorageNewer."""
    found = await version(pool)
    if 0 < found < VERSION:
        raise StorageUnavailable("the database is of an older version; a process that writes brings it up to date")
    return found > 0


async def version(pool: Pool) -> int:
    """Return the version of the schema, 0 where there is none; StorageNewer where this program does not know it."""
    with told():
        async with pool.connection() as connection:
            try:
                found = int(await connection.fetchval("SELECT max(version_num) FROM alembic_version") or 0)
            except asyncpg.UndefinedTableError:
                return 0
    if found > VERSION:
        raise StorageNewer(
            f"the database was written by a newer version of this program (schema {found}, this one knows {VERSION}); "
            "upgrade the program, or use another database"
        )
    return found
