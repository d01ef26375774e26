"""Replay: the recorded outcomes fed to a fresh kernel, each digest compared. Pure; no side effect is possible."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from multiagent.core.errors import NonDeterminism
from multiagent.core.outcome import Failure, Outcome
from multiagent.engines.actions import Complete, RunStep, Yielded
from multiagent.engines.base import Workflow
from multiagent.engines.context import begin
from multiagent.engines.kernel import Kernel, Value, always


class Start(msgspec.Struct, frozen=True):
    """What a run began with: ``data`` is its input as JSON, ``time`` the ``now`` of its first moment."""

    task: str
    data: bytes
    time: int


class Replayed(msgspec.Struct, frozen=True):
    """A run brought up to its journal's last row. ``tail`` is what it yielded since (nothing where it has ended);
    ``step`` is the step whose outcome the last row is, where it is one.
    """

    kernel: Kernel
    tail: Yielded
    ended: bool
    step: RunStep | None = None


def replay(
    workflow: Workflow[Any, Any],
    start: Start,
    journal: Sequence[Outcome],
    results: Mapping[str, bytes | Failure],
) -> Replayed:
    """Feed a journal to today's code. ``results`` maps step keys to what was recorded.

    Raises NonDeterminism at the first row where the code does something else than is recorded. What the last row led
    to was begun already, so patches that its row does not tell of are not taken there either.
    """
    kernel = _begun(workflow, start, journal, None if journal else always)
    yielded = kernel.take()
    step: RunStep | None = None
    for position, row in enumerate(journal):
        compare(row, yielded)
        if row.kind == "end":
            if not kernel.ended:
                raise NonDeterminism("the workflow goes on where it had ended", details={"n": row.n})
            compare_end(row, yielded)
            return Replayed(kernel, yielded, ended=True)
        if position == len(journal) - 1 and row.key in kernel.steps:
            step = kernel.steps[row.key].action
        kernel.feed(row, value_of(row, results))
        yielded = kernel.take()
    kernel.live = True
    return Replayed(kernel, yielded, ended=False, step=step)


def replay_before(
    workflow: Workflow[Any, Any], start: Start, journal: Sequence[Outcome], results: Mapping[str, bytes | Failure]
) -> tuple[Kernel, Yielded]:
    """Feed all rows but the last, which must be there; return the kernel that waits for it and what it yielded since
    the row before. Raises what ``replay`` raises.
    """
    kernel = _begun(workflow, start, journal, None)
    yielded = kernel.take()
    for row in journal[:-1]:
        compare(row, yielded)
        kernel.feed(row, value_of(row, results))
        yielded = kernel.take()
    compare(journal[-1], yielded)
    return kernel, yielded


def _begun(
    workflow: Workflow[Any, Any], start: Start, journal: Sequence[Outcome], decide: Callable[[str], bool] | None
) -> Kernel:
    patches = {patch.id: patch.taken for row in journal for patch in row.patches}
    try:
        return begin(workflow, start.task, start.data, start.time, patches=patches, decide=decide)
    except msgspec.MsgspecError as error:
        raise NonDeterminism(
            f"the input of {workflow.name} no longer fits {workflow.input.__name__}: {error}"
        ) from error


def value_of(row: Outcome, results: Mapping[str, bytes | Failure]) -> Value:
    """Return what a row's step answered; NonDeterminism where the store does not have it."""
    if row.kind not in ("result", "failed"):
        return None
    key = row.key.rpartition("~")[0]
    found = results.get(key)
    if found is None:
        raise NonDeterminism(f"the journal names a result of step {key!r} that is not stored", details={"step": key})
    return found


def compare(row: Outcome, yielded: Yielded) -> None:
    """NonDeterminism where what was yielded before a row is not what was recorded with it."""
    found = yielded.digest
    if found == row.digest:
        return
    marks = "; ".join(action.mark().decode("utf-8", "replace")[:80] for action in yielded.actions[:5])
    raise NonDeterminism(
        f"before outcome {row.n} ({row.kind} {row.key}) the workflow's code does something else than is recorded; "
        f"it now does: {marks or 'nothing'}",
        details={"n": row.n, "step": row.key, "recorded": row.digest, "found": found},
    )


def compare_end(row: Outcome, yielded: Yielded) -> None:
    """NonDeterminism where a run does not end, or ends otherwise, than is recorded."""
    last = yielded.actions[-1] if yielded.actions else None
    if isinstance(last, Complete) and last.value != row.value:
        raise NonDeterminism("the workflow's result is not the recorded one", details={"n": row.n})
