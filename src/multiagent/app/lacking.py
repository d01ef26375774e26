"""What a task waits for that no service does now."""

from typing import Final

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.core.errors import PlatformError
from multiagent.core.task import FINISHED

START: Final = "start one: multiagent serve"


async def lacking(place: Place, task: str) -> str:
    """Return what a task waits for that no service does, and what to start; nothing where all it needs is there.

    An error on the way is an answer, too: the database or the engine may be what is missing.
    """
    try:
        async with place.reader() as reader:
            row = None if reader is None else await reader.task(TENANT, task)
            command = None if reader is None else await reader.command(TENANT, task)
    except PlatformError as error:
        return error.message
    if row is not None and row.status in FINISHED:
        return ""
    if command is not None and command.delivered is None:
        return f"no orchestrator has taken it; {START} orchestrator"
    return ""
