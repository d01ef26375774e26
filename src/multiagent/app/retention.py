"""What is kept of finished tasks: by age and by size, with an archive of what goes. Running tasks are never touched."""

import asyncio
import gzip
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import msgspec

from multiagent.app.build import LOCAL_USER, TENANT
from multiagent.app.leaving import leave, taken
from multiagent.app.look import task_events
from multiagent.app.place import Place
from multiagent.app.system import SystemClock, SystemIds
from multiagent.app.travel import transcript
from multiagent.core.errors import EngineOwned, InvalidInput, StorageError
from multiagent.core.events import Event
from multiagent.core.messages import Message
from multiagent.core.outcome import Outcome
from multiagent.engines.factory import own_home
from multiagent.orchestrator.keeping import Pruned, Pruning, keep
from multiagent.storage.sql.base import AgentRow, CommandRow, Reader, TaskRow, TaskWeight
from multiagent.storage.sql.ops import StoredResult

TO_OBJECTS: Final = "objects"
"""Where an archive goes that is to stand among the home's objects."""


class Archived(msgspec.Struct, frozen=True):
    """All that is stored of one task, as an archive keeps it: one JSON document a line, gzipped."""

    version: int
    task: TaskRow
    agents: tuple[AgentRow, ...]
    journal: tuple[Outcome, ...]
    results: dict[str, StoredResult]
    events: list[Event]
    chains: dict[str, tuple[Message, ...]]


class Kept(msgspec.Struct, frozen=True):
    """What a pruning came to; ``delivered`` is False where the owner of the home has not done it yet."""

    tasks: tuple[Pruned, ...]
    bytes: int
    left_bytes: int
    delivered: bool = True


def chosen(weights: Sequence[TaskWeight], now: int, older_ms: int | None, keep_bytes: int | None) -> list[TaskWeight]:
    """Return the tasks to prune, oldest first: those that ended longer ago than ``older_ms``, and as many more of the
    oldest as it takes to bring what finished tasks hold down to ``keep_bytes``. None sets no bound.
    """
    total = sum(one.bytes for one in weights)
    found = []
    for one in weights:
        old = older_ms is not None and now - one.updated > older_ms
        large = keep_bytes is not None and total > keep_bytes
        if old or large:
            found.append(one)
            total -= one.bytes
    return found


async def prune(place: Place, older_ms: int | None, keep_bytes: int | None, archive: str, *, dry: bool = False) -> Kept:
    """Prune finished tasks; ``archive`` is a file to append to, ``objects``, or nothing. ``dry`` changes nothing.

    Raises InvalidInput where no bound is given, StorageError's children.
    """
    if older_ms is None and keep_bytes is None:
        raise InvalidInput("say what to keep: --older-than 30d, --keep-bytes 500MB, or both")
    async with place.reader() as reader:
        if reader is None:
            return Kept((), 0, 0)
        weights = await reader.weights(TENANT)
        going = chosen(weights, SystemClock().now(), older_ms, keep_bytes)
        freed = sum(one.bytes for one in going)
        left = sum(one.bytes for one in weights) - freed
        if dry or not going:
            return Kept(tuple(Pruned(one.id) for one in going), freed, left)
        tasks = tuple([Pruned(one.id, await _archive(reader, place, one.id, archive)) for one in going])
    delivered = await keeping(place, "prune", msgspec.json.encode(Pruning(tasks)))
    return Kept(tasks, freed, left, delivered)


async def keeping(place: Place, kind: str, payload: bytes) -> bool:
    """Have a ``prune`` or ``forget`` done: by the owner of the home, or here where there is none or all may write.

    Returns False where the owner has not done it yet. Raises what it was refused with.
    """
    now = SystemClock().now()
    row = CommandRow(TENANT, SystemIds()(), "", kind, payload, msgspec.json.encode(LOCAL_USER), now)
    try:
        with nullcontext() if place.shared else own_home(place.home):
            async with place.storage() as storage:
                await keep(storage.writer, row, now)
                return True
    except EngineOwned:
        return await taken(place, await leave(place, kind, "", payload)) is not None


async def _archive(reader: Reader, place: Place, task: str, where: str) -> str:
    """Keep a task's history outside of the tables; return where it is."""
    if not where:
        return ""
    row = await reader.task(TENANT, task)
    if row is None:
        return ""
    results = await reader.results(TENANT, task)
    heads = {key: one.head for key, found in results.items() if (one := _headed(found.value)).head}
    document = Archived(
        1,
        row,
        await reader.agents(TENANT, task),
        await reader.journal(TENANT, task),
        results,
        await task_events(place, task, 0),
        {head: await transcript(place, head) for head in sorted(set(heads.values()))},
    )
    data = gzip.compress(msgspec.json.encode(document) + b"\n", mtime=0)
    if where == TO_OBJECTS:
        return f"{TO_OBJECTS}:{await place.objects().put(TENANT, data)}"
    await asyncio.to_thread(_append, Path(where), data)
    return str(Path(where).absolute())


def _append(path: Path, data: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}; nothing was pruned") from error


class _Headed(msgspec.Struct, frozen=True):
    head: str = ""


def _headed(value: bytes) -> _Headed:
    try:
        return msgspec.json.decode(value, type=_Headed)
    except msgspec.MsgspecError:
        return _Headed()
