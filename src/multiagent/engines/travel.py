"""Finding a cut, and reading what stands there. Pure."""

import json
from collections.abc import Sequence

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.events import EventKind
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.travel import AtRow, Fed, OpenTimer, PendingStep, Point, Published, RunState
from multiagent.engines.actions import RunStep
from multiagent.engines.kernel import Kernel, Value, encode

ENDS = (EventKind.STEP_COMPLETED, EventKind.STEP_FAILED)


def step_of(row: Outcome) -> str:
    """Return the key of the step whose outcome a row is; the empty text for other rows."""
    return row.key.rpartition("~")[0] if row.kind in ("result", "failed") else ""


def cut_at(task: str, point: Point, journal: Sequence[Outcome], last: int, ended: str = "") -> int:
    """Return how many rows of a journal a point has behind it.

    ``last`` is the task's newest event; ``ended`` the key of the event at that seq where it is a step's end: it stands
    for the step's own row, also where that was stored later. Raises InvalidInput for a point that is not there.
    """
    if isinstance(point, AtRow):
        rows = journal[-1].n if journal else 0
        if not 0 <= point.n <= rows:
            raise InvalidInput(f"task {task} has the cuts 0 to {rows}, not {point.n}")
        return sum(row.n <= point.n for row in journal)
    if isinstance(point, str):
        return _cut_of_step(task, point, journal)
    if not 0 <= point <= last:
        raise InvalidInput(f"task {task} has the events 1 to {last}, not {point}; 0 stands for its beginning")
    before = sum(row.event_seq < point for row in journal)
    return _cut_of_end(point, journal, ended, before) if ended else before


def _cut_of_end(point: int, journal: Sequence[Outcome], ended: str, before: int) -> int:
    step, _, _, number = ended.rsplit("/", 3)
    for position in range(before, len(journal)):
        if step_of(journal[position]) == step:
            own = number != "0" or journal[position].event_seq == point  # 0: it was stopped, and may have run again
            return position + 1 if own else before
    return before


def _cut_of_step(task: str, step: str, journal: Sequence[Outcome]) -> int:
    for position, row in enumerate(journal):
        if step_of(row) == step:
            return position + 1
    known = [step_of(row) for row in journal if step_of(row)]
    shown = ", ".join(known[-5:]) or "none yet"
    raise InvalidInput(f"task {task} has no outcome of a step {step!r}; its last ones are: {shown}")


def ended_step(key: str, kind: EventKind) -> str:
    """Return the key of an event that tells a step's end, as ``cut_at`` takes it; the empty text for other events."""
    return key if kind in ENDS else ""


def capture(kernel: Kernel) -> RunState:
    """Return what stands in a run now."""
    pending = kernel.pending()
    return RunState(
        kernel.time,
        kernel.settings,
        tuple(Published(name, msgspec.Raw(encode(kernel.published[name]))) for name in sorted(kernel.published)),
        tuple(
            PendingStep(one.key, one.definition.name, msgspec.Raw(one.payload))
            for one in pending
            if isinstance(one, RunStep)
        ),
        tuple(OpenTimer(one.key, one.due - kernel.time) for one in pending if not isinstance(one, RunStep)),
        kernel.waiting_signals(),
        kernel.emits,
        kernel.cuts,
        kernel.paused,
        kernel.ended,
    )


def fed(row: Outcome, step: RunStep | None, value: Value) -> Fed:
    """Return a row with what it brought."""
    carried = value if isinstance(value, bytes) else row.value
    return Fed(
        row.kind,
        row.key,
        row.time,
        step.definition.name if step is not None else "",
        msgspec.Raw(step.payload if step is not None else b"null"),
        msgspec.Raw(_shown(carried)),
        value if isinstance(value, Failure) else None,
    )


def _shown(value: bytes) -> bytes:
    """Return a value as JSON: what a signal carries may be any bytes."""
    if not value:
        return b"null"
    try:
        msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return json.dumps(value.decode("utf-8", "replace")).encode()
    return value
