"""Time travel over what is stored, without owning the home: the journal fed to today's code, with no side effect."""

from typing import Any, Final

import msgspec

from multiagent.app.build import TENANT
from multiagent.app.place import Place
from multiagent.core.errors import EngineError, InvalidInput, NonDeterminism, NotFound
from multiagent.core.outcome import Failure, Outcome
from multiagent.engines.attempt import stored_value
from multiagent.engines.base import Workflow
from multiagent.engines.past import start_of
from multiagent.engines.replay import Start, replay
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, TaskRow

WORKFLOWS: Final[tuple[Workflow[Any, Any], ...]] = (TASK,)
"""The workflows whose histories this program can replay."""

SAME: Final = "no difference"


class History(msgspec.Struct, frozen=True):
    """All that a replay reads: the task's row, its outcomes in order, and its steps' results by key."""

    row: TaskRow
    journal: tuple[Outcome, ...]
    results: dict[str, bytes | Failure]
    inherited: frozenset[str] = frozenset()
    """The steps whose results a fork has from its parent."""

    @property
    def workflow(self) -> Workflow[Any, Any]:
        """Today's code of its workflow; InvalidInput where this program has none of that name."""
        return workflow(self.row.workflow)

    @property
    def start(self) -> Start:
        """What it began with."""
        return start_of(self.row)


class Verdict(msgspec.Struct, frozen=True):
    """What a replay found: ``identical``, or where today's code first does something else.

    ``outcomes`` counts the rows of the journal; ``n`` and ``step`` name the row before which the code drifts, with the
    digests that are recorded there and that today's code yields (empty where the drift is no matter of digests).
    ``server`` is what Temporal's own replay of its history came to: ``no difference``, why there was none, or nothing
    where no server was asked.
    """

    task: str
    identical: bool
    ended: bool
    outcomes: int
    n: int = 0
    step: str = ""
    recorded: str = ""
    found: str = ""
    message: str = ""
    server: str = ""


def workflow(name: str) -> Workflow[Any, Any]:
    """Return today's code of a workflow; InvalidInput where this program has none of that name."""
    for one in WORKFLOWS:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in WORKFLOWS)
    raise InvalidInput(f"this program has no workflow {name!r} (it has: {known}); use the program that ran the task")


async def history(reader: Reader, objects: Objects, task: str) -> History:
    """Read a task's history; NotFound where there is no such task."""
    row = await reader.task(TENANT, task)
    if row is None:
        raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
    if not row.input:
        raise NotFound(f"the history of task {task} was pruned; its bill and its events' headers are kept")
    journal = await reader.journal(TENANT, task)  # first: of a run under way, every result it names is there then
    stored = await reader.results(TENANT, task)
    results = {key: await stored_value(objects, TENANT, found) for key, found in stored.items()}
    inherited = frozenset(key for key, found in stored.items() if found.inherited)
    return History(row, journal, results, inherited)


async def read(place: Place, task: str) -> History:
    """Read a task's history, whoever works on it; NotFound where there is no such task."""
    async with place.reader() as reader:
        if reader is None:
            raise NotFound(f"there is no task {task!r}: {place.home} holds no data yet")
        return await history(reader, place.objects(), task)


def verdict(past: History) -> Verdict:
    """Feed a history to today's code; drift is a verdict, not an error."""
    ended = past.row.status in ("completed", "failed", "cancelled")
    try:
        again = replay(past.workflow, past.start, past.journal, past.results)
    except NonDeterminism as drift:
        return drifted(past.row.id, drift, len(past.journal), ended=ended)
    again.kernel.drop()
    return Verdict(past.row.id, identical=True, ended=again.ended, outcomes=len(past.journal))


def drifted(task: str, drift: NonDeterminism, outcomes: int, *, ended: bool) -> Verdict:
    """Return the verdict on a history that today's code does not do."""
    told = {name: str(drift.details.get(name, "")) for name in ("step", "recorded", "found")}
    n = drift.details.get("n", 0)
    return Verdict(
        task, identical=False, ended=ended, outcomes=outcomes, n=n if isinstance(n, int) else 0, step=told["step"],
        recorded=told["recorded"], found=told["found"], message=drift.message,
    )  # fmt: skip


async def verify(place: Place, task: str) -> Verdict:
    """Replay a task against today's code, and by Temporal's own means what its server has of it, where there is one.

    NotFound where there is no such task.
    """
    found = verdict(await read(place, task))
    if not (found.identical and place.served and place.shared):
        return found
    from multiagent.app.temporal import open_asked

    try:
        async with open_asked(place, WORKFLOWS) as engine:
            await engine.replay(TENANT, task)
    except NonDeterminism as drift:
        return drifted(task, drift, found.outcomes, ended=found.ended)
    except (EngineError, InvalidInput) as error:  # away, not installed here, or under a key that this process has not
        return msgspec.structs.replace(found, server=f"not compared: {error.message}")
    return msgspec.structs.replace(found, server=SAME)
