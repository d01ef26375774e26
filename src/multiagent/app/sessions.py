"""Sessions, read from any terminal."""

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.memory.session import Memory
from multiagent.orchestrator.sessions import remembered
from multiagent.storage.sql.base import SessionRow


async def sessions(place: Place, limit: int) -> tuple[SessionRow, ...]:
    """Return sessions, newest first; none where there is no home yet."""
    async with place.reader() as reader:
        return () if reader is None else await reader.sessions(TENANT, limit)


async def look(place: Place, session: str) -> tuple[SessionRow, Memory] | None:
    """Return a session and what it remembers; None where there is none. StorageCorrupt where it cannot be read."""
    async with place.reader() as reader:
        row = None if reader is None else await reader.session(TENANT, session)
        if row is None or reader is None:
            return None
        return row, remembered(session, await reader.memory(TENANT, session))
