"""Reading a run's past from its journal."""

from typing import Any

from multiagent.core.outcome import Outcome
from multiagent.core.travel import Moment, Point
from multiagent.engines.base import Workflow
from multiagent.engines.past import check_kept, replay_to
from multiagent.engines.travel import capture, cut_at, ended_step, fed, step_of
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.base import Reader, TaskRow


async def find_cut(reader: Reader, row: TaskRow, journal: tuple[Outcome, ...], at: Point) -> int:
    """Return how many rows of a task's journal a point has behind it; InvalidInput where there is no such point."""
    ended = ""
    if isinstance(at, int) and 0 < at <= row.last_seq:
        events = await reader.events(row.tenant, row.id, at - 1, 1)
        ended = ended_step(events[0].header.key, events[0].header.kind) if events else ""
    return cut_at(row.id, at, journal, row.last_seq, ended)


async def moment(reader: Reader, objects: Objects, row: TaskRow, workflow: Workflow[Any, Any], at: Point) -> Moment:
    """Return what stood in a run at a point: its outcomes up to there, fed to a kernel that does nothing."""
    check_kept(row)
    journal = await reader.journal(row.tenant, row.id)
    cut = await find_cut(reader, row, journal, at)
    again, results = await replay_to(reader, objects, row, workflow, journal[:cut])
    state = capture(again.kernel)
    again.kernel.drop()
    last = journal[cut - 1] if cut else None
    seq = last.event_seq if last is not None else 0
    found = None if last is None else fed(last, again.step, results.get(step_of(last)))
    return Moment(row.id, last.n if last else 0, journal[-1].n if journal else 0, seq, state, found)
