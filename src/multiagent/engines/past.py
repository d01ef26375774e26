"""What storage holds of a run, and its replay."""

from collections.abc import Mapping
from typing import Any

import msgspec

from multiagent.core.errors import NotFound
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.principal import Principal
from multiagent.engines.attempt import stored_value
from multiagent.engines.base import Workflow
from multiagent.engines.replay import Replayed, Start, replay
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


async def replayed(
    reader: Reader, objects: Objects, row: TaskRow, workflow: Workflow[Any, Any], journal: tuple[Outcome, ...]
) -> Replayed:
    """Feed what is stored of a run to a fresh kernel."""
    again, _ = await replay_to(reader, objects, row, workflow, journal)
    return again


async def replay_to(
    reader: Reader, objects: Objects, row: TaskRow, workflow: Workflow[Any, Any], journal: tuple[Outcome, ...]
) -> tuple[Replayed, Mapping[str, bytes | Failure]]:
    """Feed rows of a run to a fresh kernel; return it with the results of its steps by key."""
    results = await stored_results(reader, objects, row)
    return replay(workflow, start_of(row), journal, results), results


def signature(row: TaskRow) -> tuple[str, str]:
    """Return who acts in a task's events: name, and on whose behalf."""
    if not row.principal:
        return "", ""
    try:
        principal = msgspec.json.decode(row.principal, type=Principal)
    except msgspec.MsgspecError:
        return "", ""
    return principal.name, principal.on_behalf_of
