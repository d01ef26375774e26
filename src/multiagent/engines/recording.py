"""Histories in files: everything that replays one run, apart from any home, and whether today's code still does it."""

import re
from typing import Any, Final

import msgspec

from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.messages import Message, message_hash
from multiagent.core.outcome import Failure, Outcome
from multiagent.engines.base import Workflow
from multiagent.engines.past import start_of, stored_results
from multiagent.engines.replay import Replayed, Start, replay
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader

VERSION: Final = 1
_HASH: Final = re.compile(rb'"([0-9a-f]{64})"')


class Recording(msgspec.Struct, frozen=True):
    """One run: what it began with, its journal, and its results by step key.

    ``module`` holds the workflow's code. ``messages`` are those that results refer to, by hash, with all that came
    before them; ``task`` is the run's own id, which for a fork is not ``start.task``.
    """

    module: str
    workflow: str
    start: Start
    journal: tuple[Outcome, ...]
    values: dict[str, bytes]
    failures: dict[str, Failure]
    version: int = VERSION
    task: str = ""
    messages: dict[str, Message] = {}

    @property
    def results(self) -> dict[str, bytes | Failure]:
        """The results by step key, as a replay takes them."""
        return {**self.values, **self.failures}


async def record(
    reader: Reader, objects: Objects, tenant: str, task: str, workflow: Workflow[Any, Any], *, messages: bool = True
) -> Recording:
    """Return a run as it stands in storage, finished or not; NotFound where there is none.

    ``messages`` False leaves them out, as those that were forgotten are: a replay needs none.
    """
    row = await reader.task(tenant, task)
    if row is None:
        raise NotFound(f"there is no task {task}")
    journal = await reader.journal(tenant, task)  # first: of a run under way, every result it names is there then
    results = await stored_results(reader, objects, row)
    values = {key: value for key, value in results.items() if isinstance(value, bytes)}
    return Recording(
        str(getattr(workflow.run, "__module__", "")),
        row.workflow,
        start_of(row),
        journal,
        values,
        {key: value for key, value in results.items() if isinstance(value, Failure)},
        task=task,
        messages=await _messages(reader, tenant, values) if messages else {},
    )


async def _messages(reader: Reader, tenant: str, values: dict[str, bytes]) -> dict[str, Message]:
    """Return the conversations whose heads stand in results."""
    found: dict[str, Message] = {}
    for value in values.values():
        for head in _HASH.findall(value):
            name = head.decode()
            if name in found:
                continue
            try:
                chain = await reader.chain(tenant, name)
            except NotFound:  # a hash of something else, or a message that was forgotten
                continue
            found |= {message_hash(message): message for message in chain}
    return found


def write(recording: Recording) -> bytes:
    """Return a recording as a file holds it: one JSON value."""
    return msgspec.json.encode(recording) + b"\n"


def read(data: bytes) -> Recording:
    """Return what a file holds; InvalidInput where it is no recording, or one of a newer version."""
    try:
        recording = msgspec.json.decode(data, type=Recording)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"this is no exported history: {error}") from error
    if recording.version > VERSION:
        raise InvalidInput(
            f"this history has version {recording.version}, and this program reads up to {VERSION}; use a newer one"
        )
    return recording


def check(recording: Recording, workflow: Workflow[Any, Any]) -> Replayed:
    """Replay a recording with today's code; NonDeterminism where it drifts. Nothing is run."""
    again = replay(workflow, recording.start, recording.journal, recording.results)
    again.kernel.drop()
    return again
