"""Forks and released tasks, asked for from any terminal."""

import msgspec

from multiagent.app.build import TENANT
from multiagent.app.leaving import Steered, leave, steered
from multiagent.app.place import Place
from multiagent.app.travel import Walk, tour
from multiagent.core.budget import Limit
from multiagent.core.errors import InvalidInput, NotFound
from multiagent.core.pointer import assignment
from multiagent.core.settings import TaskSettings
from multiagent.core.tier import Tier
from multiagent.core.travel import Changes, Edit
from multiagent.orchestrator.forking import Forking


class ForkAsk(msgspec.Struct, frozen=True):
    """What a person asks for: a task's past up to ``at`` (an event's number or a step's key), then with other settings
    (None keeps them), and ``edit`` (``STEP:POINTER=VALUE``) in what the cut's own step answered.
    """

    parent: str
    at: str = ""
    edit: str = ""
    model: str | None = None
    tier: Tier | None = None
    tokens: int | None = None
    pico: int | None = None


async def ask_fork(place: Place, wanted: ForkAsk) -> tuple[str, int]:
    """Leave a fork for those who work there; return the new task's id and the cut.

    Raises NotFound for an unknown parent, InvalidInput for a cut that is not there or an edit of another step,
    NonDeterminism where the parent's code has drifted.
    """
    edit = edit_of(wanted.edit) if wanted.edit else None
    at = wanted.at or (edit.step if edit is not None else "")
    if not at:
        raise InvalidInput("say where: --at N (an event's number) or --at STEP (a step's key)")
    walk = await tour(place, wanted.parent)
    cut = walk.cut(at)
    if edit is not None:
        _check_edit(walk, cut, edit)
    changes = Changes(_settings(walk, cut, wanted), edit)
    task = await leave(place, "fork", "", msgspec.json.encode(Forking(wanted.parent, cut, changes)))
    return task, cut


def edit_of(text: str) -> Edit:
    """Parse ``STEP:POINTER=VALUE``: the value is JSON, or text where it is none. InvalidInput where it is not that."""
    step, colon, rest = text.partition(":")
    if not colon or not step or not rest.startswith(("/", "=")):
        raise InvalidInput(f'{text!r} is not STEP:POINTER=VALUE, for example a/t1/think/1:/text="better"')
    if rest.startswith("="):
        _, value = assignment(f"whole{rest}")
        return Edit(step, "", msgspec.json.encode(value))
    pointer, value = assignment(rest)
    return Edit(step, pointer, msgspec.json.encode(value))


async def release(place: Place, task: str) -> Steered:
    """Ask that a quarantined task goes on, now that its code is mended; wait until that is done.

    Raises NotFound for an unknown task, InvalidInput for one that is not quarantined, NonDeterminism where it drifts
    still: then it stays quarantined.
    """
    async with place.reader() as reader:
        row = None if reader is None else await reader.task(TENANT, task)
    if row is None:
        raise NotFound(f"there is no task {task!r} here; `multiagent tasks list` shows those there are")
    if row.status != "quarantined":
        raise InvalidInput(f"task {task} is {row.status}, not quarantined; there is nothing to release")
    command = await leave(place, "release", task, b"")
    return await steered(place, command, task)


def _check_edit(walk: Walk, cut: int, edit: Edit) -> None:
    own = walk.stops[cut - 1].key if cut else "none"
    if own != edit.step:
        raise InvalidInput(f"an edit may address only the cut's own step, {own}; to edit {edit.step}, cut there")


def _settings(walk: Walk, cut: int, wanted: ForkAsk) -> TaskSettings | None:
    """The settings from the cut on; None where nothing is changed."""
    before = walk.settings(cut)
    limit = Limit(
        before.limit.tokens if wanted.tokens is None else wanted.tokens,
        before.limit.pico if wanted.pico is None else wanted.pico,
    )
    after = msgspec.structs.replace(
        before,
        limit=limit,
        model=before.model if wanted.model is None else wanted.model,
        tier=before.tier if wanted.tier is None else wanted.tier,
    )
    return after if after != before else None
