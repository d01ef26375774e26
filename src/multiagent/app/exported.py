"""Histories in files: written from a home, and checked against today's code wherever they are."""

import os
from pathlib import Path

from multiagent.app.build import TENANT
from multiagent.app.history import Verdict, drifted, workflow
from multiagent.app.place import Place
from multiagent.core.errors import InvalidInput, NonDeterminism, NotFound, StorageError
from multiagent.engines import recording


async def export(place: Place, task: str, file: Path, *, messages: bool = True) -> int:
    """Write a task's history to a file, whole or not at all; return its bytes.

    Raises NotFound for an unknown task or one that was pruned, StorageError where the file cannot be written.
    """
    async with place.reader() as reader:
        row = None if reader is None else await reader.task(TENANT, task)
        if reader is None or row is None:
            raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
        if not row.input:
            raise NotFound(f"the history of task {task} was pruned; look for it in its archive")
        made = await recording.record(reader, place.objects(), TENANT, task, workflow(row.workflow), messages=messages)
    data = recording.write(made)
    _write(file, data)
    return len(data)


def check(file: Path) -> Verdict:
    """Feed a file's history to today's code; drift is a verdict.

    Raises InvalidInput where the file cannot be read, is no history, or is of a workflow that this program has not.
    """
    try:
        kept = recording.read(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror or error}") from error
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.message}") from error
    task = kept.task or kept.start.task
    ended = bool(kept.journal) and kept.journal[-1].kind == "end"
    try:
        again = recording.check(kept, workflow(kept.workflow))
    except NonDeterminism as drift:
        return drifted(task, drift, len(kept.journal), ended=ended)
    return Verdict(task, identical=True, ended=again.ended, outcomes=len(kept.journal))


def _write(file: Path, data: bytes) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"{file} cannot be written: {error.strerror or error}") from error
