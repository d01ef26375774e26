"""Forks: a new run with another's past. All of it is one commit; what follows is an ordinary run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import msgspec

from multiagent.core.clock import Clock
from multiagent.core.errors import InvalidInput
from multiagent.core.events import Event, EventDraft, EventKind
from multiagent.core.facts import TaskForked
from multiagent.core.outcome import Outcome
from multiagent.core.settings import TaskSettings
from multiagent.core.travel import Changes, Edit, Point
from multiagent.engines.asked import Asked
from multiagent.engines.base import Step, Workflow
from multiagent.engines.context import begin
from multiagent.engines.crossing import approach, cross, rows_to
from multiagent.engines.editing import edited
from multiagent.engines.ending import engine_event
from multiagent.engines.kernel import FORK, encode
from multiagent.engines.moments import find_cut
from multiagent.engines.opened import Opened
from multiagent.engines.past import check_kept, signature, start_of, stored_results
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql import travel
from multiagent.storage.sql.base import Reader, TaskRow, Writer
from multiagent.storage.sql.ops import AppendEvent, AppendOutcome, Op

_PAGE: Final = 64


class Ground(Protocol):
    """What a fork is made on; ``owner`` names this process in leases, ``steps`` are those that it knows."""

    @property
    def writer(self) -> Writer:
        """Where the fork is written."""
        ...

    @property
    def reader(self) -> Reader:
        """What is there of its parent."""
        ...

    @property
    def objects(self) -> Objects:
        """Where large results are kept."""
        ...

    @property
    def clock(self) -> Clock:
        """What time it is."""
        ...

    @property
    def owner(self) -> str:
        """Who has made it."""
        ...

    @property
    def steps(self) -> Mapping[str, Step[Any, Any]]:
        """Who shows results of steps to people, and takes edits of them back."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be forked: of which task, under which id, where, and with what changed."""

    parent: TaskRow
    workflow: Workflow[Any, Any]
    new_id: str
    at: Point
    changes: Changes

    @property
    def child(self) -> TaskRow:
        """The fork's row, as far as its events need it."""
        root = self.parent.root_id or self.parent.id
        return msgspec.structs.replace(self.parent, id=self.new_id, parent_id=self.parent.id, root_id=root)


async def forked(ground: Ground, wish: Wish) -> Opened | None:
    """Commit a fork and return it, ready to run; None where its id is taken by then."""
    parent = wish.parent
    check_kept(parent)
    journal = await ground.reader.journal(parent.tenant, parent.id)
    rows = rows_to(journal, await find_cut(ground.reader, parent, journal, wish.at))
    if not rows:
        return await _from_the_beginning(ground, wish)
    results = await stored_results(ground.reader, ground.objects, parent)
    cut, kept = approach(wish.workflow, start_of(parent), rows, results), None
    if wish.changes.edit is not None:
        value, kept = await edited(ground.objects, ground.steps, parent.tenant, cut.step, cut.value, wish.changes.edit)
        cut = msgspec.structs.replace(cut, value=value)
    pending = cut.in_flight
    crossed = cross(cut, wish.new_id, wish.changes.settings, ground.clock.now())
    own, time = crossed.own, crossed.own.time
    told: list[EventDraft] = []
    Asked(signature(parent), told.append).absorb(crossed.led_to, crossed.fork.key)
    copy = _copy(ground, wish, cut.own, time)
    ops: tuple[Op, ...] = (
        msgspec.structs.replace(copy, pending=pending, edited=kept),
        _told(wish, cut.own.n, cut.own.event_seq, time),
        AppendOutcome(tenant=parent.tenant, task=wish.new_id, outcome=crossed.fork),
        *(AppendEvent(tenant=parent.tenant, task=wish.new_id, event=draft) for draft in told),
        AppendOutcome(tenant=parent.tenant, task=wish.new_id, outcome=own),
    )
    row = await _made(ground, wish, ops)
    if row is None:
        crossed.kernel.drop()
        return None
    signals = tuple(one.key for one in rows if one.kind == "signal")
    return Opened(
        row, crossed.kernel, crossed.tail, signature(row), fresh=not pending, outcomes=own.n, time=time, signals=signals
    )


async def _from_the_beginning(ground: Ground, wish: Wish) -> Opened | None:
    """Commit a fork that inherits nothing but the parent's input."""
    if wish.changes.edit is not None:
        raise InvalidInput("there is no step's outcome at the beginning of a task, so there is nothing to edit")
    record = msgspec.json.decode(wish.parent.input, type=wish.workflow.input)
    changed: dict[str, object] = {}
    if hasattr(record, "seed"):
        changed["seed"] = f"{record.seed}/{FORK}{wish.new_id}"
    if wish.changes.settings is not None:
        if not isinstance(getattr(record, "settings", None), TaskSettings):
            raise InvalidInput(f"the input of {wish.workflow.name} has no settings; fork at its first outcome instead")
        changed["settings"] = wish.changes.settings
    data = encode(msgspec.structs.replace(record, **changed))
    seq, now = await _before_the_beginning(ground, wish.parent), ground.clock.now()
    copy = travel.ForkTask(
        tenant=wish.parent.tenant, id=wish.new_id, parent=wish.parent.id, cut=0, seq=seq, time=now, owner=ground.owner,
        input=data,
    )  # fmt: skip
    row = await _made(ground, wish, (copy, _told(wish, 0, seq, now)))
    if row is None:
        return None
    start = start_of(row)
    kernel = begin(wish.workflow, start.task, start.data, start.time)
    return Opened(row, kernel, kernel.take(), signature(row), fresh=True, time=start.time)


def _copy(ground: Ground, wish: Wish, cut: Outcome, time: int) -> travel.ForkTask:
    return travel.ForkTask(
        tenant=wish.parent.tenant,
        id=wish.new_id,
        parent=wish.parent.id,
        cut=cut.n,
        seq=cut.event_seq,
        time=time,
        owner=ground.owner,
    )


def _told(wish: Wish, cut: int, seq: int, now: int) -> Op:
    edit = wish.changes.edit or Edit("", "", b"")
    child = wish.child
    fact = TaskForked(child.parent_id, child.root_id, cut, seq, edit.step, edit.pointer)
    return engine_event(child, f"forked/{child.id}", EventKind.TASK_FORKED, fact, now)


async def _made(ground: Ground, wish: Wish, ops: tuple[Op, ...]) -> TaskRow | None:
    made = cast("travel.TaskForked", (await ground.writer.commit(*ops))[0])
    return await ground.reader.task(wish.parent.tenant, wish.new_id) if made.created else None


async def _before_the_beginning(ground: Ground, parent: TaskRow) -> int:
    """Return the seq of the last event that is there before the workflow's first one: that the task was submitted."""
    events = await ground.reader.events(parent.tenant, parent.id, 0, _PAGE)
    seq = 0
    for event in events:
        if _of_the_run(event):
            break
        seq = event.header.seq
    return seq


def _of_the_run(event: Event) -> bool:
    return event.header.kind is EventKind.STEP_STARTED or event.header.key.partition("/")[0] in ("w", "engine")
