"""What storage holds of a run, as a replay takes it."""

from multiagent.core.errors import NotFound
from multiagent.core.outcome import Failure
from multiagent.engines.attempt import stored_value
from multiagent.engines.replay import Start
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, TaskRow


def start_of(row: TaskRow) -> Start:
    """Return what a run began with: a fork has the beginning of the run whose past it has."""
    return Start(row.named, row.input, row.began)


def check_kept(row: TaskRow) -> None:
    """Raise NotFound where a run's past was pruned: there is nothing to go back to."""
    if not row.input:
        raise NotFound(
            f"the history of task {row.id} was pruned; what was archived of it can be read, not gone back to"
        )


async def stored_results(reader: Reader, objects: Objects, row: TaskRow) -> dict[str, bytes | Failure]:
    """Return the committed results of a run's steps by key."""
    results: dict[str, bytes | Failure] = {}
    for key, found in (await reader.results(row.tenant, row.id)).items():
        if found.ref:
            results[key] = await stored_value(objects, row.tenant, found)
        else:
            results[key] = found.value if found.error is None else found.error
    return results
