"""Events and journal rows: what a task's facts are, any number of them in one call of the database."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from multiagent.core.errors import StorageCorrupt
from multiagent.core.events import VERSION, EventHeader, commit
from multiagent.core.outcome import Outcome
from multiagent.storage.sql.ops import AppendEvent, AppendOutcome, EventAppended
from multiagent.storage.sql.postgres.scribe import Argument, Scribe
from multiagent.storage.sql.rows import ENCODE, HEADER, header

Fact = AppendEvent | AppendOutcome

_APPEND: Final = f"SELECT append_facts({', '.join(f'${at}' for at in range(1, 23))})"
_KNOWN: Final = f"SELECT {HEADER} FROM events WHERE tenant_id = $1 AND task = $2 AND seq = $3"


class Columns(NamedTuple):
    """Facts as the arguments of the functions that store them, with what was drawn for the events among them."""

    ids: list[str]
    commitments: list[str]
    values: tuple[Argument, ...]


async def append_facts(scribe: Scribe, ops: Sequence[Fact]) -> list[EventAppended | None]:
    """See ``AppendEvent`` and ``AppendOutcome``; all are of one task, and stand in this order."""
    drawn = columns(scribe, ops)
    (numbers,) = await scribe.row(_APPEND, ops[0].tenant, ops[0].task, *drawn.values)
    return await appended(scribe, ops, drawn, numbers)


def columns(scribe: Scribe, ops: Sequence[Fact]) -> Columns:
    """Return the facts column by column, with new ids, salts and commitments."""
    events = [op.event for op in ops if type(op) is AppendEvent]
    salts = scribe.salts(len(events))
    commitments = [commit(salt, event.payload) for salt, event in zip(salts, events, strict=True)]
    ids = [next(scribe.ids) for _ in events]
    values = (
        ids, [one.key for one in events], [one.kind.value for one in events], [one.time for one in events],
        [one.principal for one in events], [one.on_behalf_of for one in events], [one.cause for one in events],
        [one.trace_id for one in events], commitments, salts, [one.payload for one in events],
    )  # fmt: skip
    return Columns(ids, commitments, (*values, *_journal(ops, again=scribe.again)))


async def appended(
    scribe: Scribe, ops: Sequence[Fact], drawn: Columns, numbers: Sequence[int]
) -> list[EventAppended | None]:
    """Return the answers of facts from their events' numbers, below zero where an event was known already."""
    answers: list[EventAppended | None] = []
    at = 0
    for op in ops:
        if type(op) is not AppendEvent:
            answers.append(None)
            continue
        seq, event = numbers[at], op.event
        if seq < 0:
            made = await _known(scribe, op, -seq)
        else:
            made = EventHeader(
                VERSION, op.tenant, drawn.ids[at], op.task, seq, event.key, event.kind, event.time, event.principal,
                event.on_behalf_of, event.cause, event.trace_id, drawn.commitments[at],
            )  # fmt: skip
        created = made.id == drawn.ids[at]
        if created:
            scribe.headers.append(made)
        answers.append(EventAppended(made, created))
        at += 1
    return answers


async def _known(scribe: Scribe, op: AppendEvent, seq: int) -> EventHeader:
    row = await scribe.one(_KNOWN, op.tenant, op.task, seq)
    if row is None:
        raise StorageCorrupt(f"event {op.event.key} of task {op.task} has a payload but no header; restore a backup")
    return header(tuple(row))


def _journal(ops: Sequence[Fact], *, again: bool) -> tuple[Argument, ...]:
    """Return the columns of the journal rows, whether each may be there already, and the events before each."""
    rows: list[Outcome] = []
    may_be: list[bool] = []
    after: list[int] = []
    events = 0
    for op in ops:
        if type(op) is AppendOutcome:
            rows.append(op.outcome)
            may_be.append(op.again or again)
            after.append(events)
        else:
            events += 1
    return (
        [one.n for one in rows], [one.kind for one in rows], [one.key for one in rows], [one.time for one in rows],
        [one.value or None for one in rows], [one.digest for one in rows],
        [ENCODE(one.patches) if one.patches else None for one in rows], may_be, after,
    )  # fmt: skip
