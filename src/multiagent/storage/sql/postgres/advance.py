"""What moves one task on, most of what is ever written, in one call of the database instead of one an operation.

The call is a transaction of its own, and may be run again when nobody knows whether it took effect: facts are known by
their keys, and events that stand under our own ids were stored by the call before.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from multiagent.storage.sql.ops import (
    AppendEvent,
    AppendOutcome,
    Op,
    StartStep,
    StepStarted,
    StoredResult,
    StoreResult,
    UpdateTask,
)
from multiagent.storage.sql.postgres.facts import Fact, appended, columns
from multiagent.storage.sql.postgres.scribe import Argument, Scribe
from multiagent.storage.sql.postgres.steps import standing
from multiagent.storage.sql.rows import ENCODE, stored, whole

_ADVANCE: Final = (
    f"SELECT numbers, attempts, step_deaths, stored FROM advance({', '.join(f'${at}' for at in range(1, 47))})"
)
_MOVES: Final = frozenset({AppendEvent, AppendOutcome, UpdateTask, StartStep, StoreResult})


class Move(msgspec.Struct):
    """What is done with one task: at most one of each but facts."""

    tenant: str
    task: str
    facts: list[Fact]
    update: UpdateTask | None = None
    start: StartStep | None = None
    result: StoreResult | None = None


def move(ops: Sequence[Op]) -> Move | None:
    """Return operations as one move, which leaves what they leave one by one; None where they are none."""
    if not ops or not all(type(op) in _MOVES for op in ops):
        return None
    first = ops[0]
    found = Move(first.tenant, _task(first), [])
    for op in ops:
        if op.tenant != found.tenant or _task(op) != found.task or not _add(found, op):
            return None
    return found


def _add(found: Move, op: Op) -> bool:
    """Add an operation; return whether that leaves its place among the others without meaning."""
    if isinstance(op, AppendEvent | AppendOutcome):
        found.facts.append(op)
        late = found.update is not None and found.update.only_at is not None
        return isinstance(op, AppendEvent) or not late
    if isinstance(op, UpdateTask) and found.update is None:
        found.update = op
        return True
    if isinstance(op, StartStep) and found.start is None and found.result is None:
        found.start = op
        return True
    if isinstance(op, StoreResult) and found.result is None:
        found.result = op
        return True
    return False


def _task(op: Op) -> str:
    if isinstance(op, UpdateTask):
        return op.id
    task: str = getattr(op, "task", "")
    return task


async def advance(scribe: Scribe, moved: Move, ops: Sequence[Op]) -> tuple[object, ...]:
    """Do a move; return the answers of the operations that it was made of."""
    drawn = columns(scribe, moved.facts)
    numbers, attempts, deaths, is_stored = await scribe.row(
        _ADVANCE, moved.tenant, moved.task, *drawn.values, *_update(moved.update), *_start(moved.start),
        *_result(moved.result),
    )  # fmt: skip
    facts = iter(await appended(scribe, moved.facts, drawn, numbers))
    answers: list[object] = []
    for op in ops:
        if isinstance(op, StartStep):
            answers.append(await _started(scribe, op, attempts, deaths))
        elif isinstance(op, StoreResult):
            answers.append(await _stored(scribe, op, is_stored=is_stored))
        else:
            answers.append(None if isinstance(op, UpdateTask) else next(facts))
    return tuple(answers)


async def _started(scribe: Scribe, op: StartStep, attempts: int | None, deaths: int) -> StepStarted:
    if attempts is not None:
        return StepStarted(attempts, deaths)
    row = await standing(scribe, op)
    return StepStarted(whole(row[7]), whole(row[8]), stored(row))


async def _stored(scribe: Scribe, op: StoreResult, *, is_stored: bool) -> StoredResult:
    if is_stored:
        return StoredResult(op.key, op.input_hash, op.value, op.ref, op.error)
    return stored(await standing(scribe, op))


def _update(op: UpdateTask | None) -> tuple[Argument, ...]:
    if op is None:
        return (None,) * 11
    usage = op.usage
    return (
        op.time, op.status, op.mode, op.result, None if op.error is None else ENCODE(op.error),
        None if usage is None else ENCODE(usage).decode(), None if usage is None else usage.total, op.cost_pico,
        op.duration_ms, op.waits_for, op.only_at,
    )  # fmt: skip


def _start(op: StartStep | None) -> tuple[Argument, ...]:
    if op is None:
        return (None,) * 5
    return (op.key, op.input_hash, op.owner, op.lease_until, op.time)


def _result(op: StoreResult | None) -> tuple[Argument, ...]:
    if op is None:
        return (None,) * 8
    error = None if op.error is None else ENCODE(op.error)
    status = "done" if op.error is None else "failed"
    return (op.key, op.input_hash, status, op.value, op.ref, error, op.owner, op.time)
