"""Reservations and the scopes they hold in, each operation one call of a function of the database (migration 0003).

The verdicts are those of ``core.budget.judge``, computed where the rows are.
"""

from collections.abc import Iterable
from typing import Final, cast

from multiagent.core.budget import PASSES, Amount, Granted, Limit, Refused, ScopeKind, ScopeRef, Wait, Window
from multiagent.core.errors import InvalidInput, NotFound, StorageError
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.ops import Lose, LoseOpen, Op, Reserve, Reserved, Settle, Settled
from multiagent.storage.sql.postgres.scribe import Scribe

_LOCK_KEYS: Final = "SELECT lock_keys($1, $2)"
_LOCK: Final = "SELECT lock_budgets($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_OPEN: Final = "SELECT open_reservations($1, $2, $3, $4)"
_RESERVE: Final = """SELECT o_verdict, o_id, o_at, o_room_tokens, o_room_pico, o_released FROM reserve($1, $2, $3, $4,
 $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"""
_SETTLE: Final = """SELECT o_state, o_booked, o_overrun, o_kinds, o_ids, o_windows, o_starts
 FROM settle($1, $2, $3, $4, $5, $6)"""
_LOSE: Final = "SELECT o_state, o_booked FROM lose($1, $2, $3)"
_LOSE_OPEN: Final = "SELECT o_count, o_booked FROM lose_open($1, $2, $3, $4)"
_LEAVE: Final = "SELECT leave_line($1, $2, $3)"
_KEEP: Final = "SELECT keep_places($1, $2, $3)"


BUDGET_OPS: Final = (Reserve, Settle, Lose, LoseOpen, LeaveLine, KeepPlaces)
"""Operations that lock scopes, or places in their lines."""


async def lock_budgets(scribe: Scribe, ops: Iterable[Op]) -> None:
    """Lock all that the budget operations among these will need, in one order for all processes, so that no two wait
    for each other. One such operation alone does this by itself.
    """
    found = [op for op in ops if isinstance(op, BUDGET_OPS)]
    if len(found) < 2:
        return
    for tenant in sorted({op.tenant for op in found}):
        await _lock(scribe, tenant, [op for op in found if op.tenant == tenant])


async def _lock(scribe: Scribe, tenant: str, ops: list[Op]) -> None:
    limits = [one for op in ops if isinstance(op, Reserve) for one in op.scopes]
    scopes = [one.scope for one in limits]
    reservations = [op.reservation for op in ops if isinstance(op, Settle | Lose)]
    keys = [op.key for op in ops if isinstance(op, Reserve | LoseOpen)]
    if keys:
        await scribe.row(_LOCK_KEYS, tenant, keys)
    for op in ops:
        if isinstance(op, LoseOpen):
            reservations += [row[0] for row in await scribe.all(_OPEN, tenant, op.key, op.owner, op.time)]
    tickets = [op.ticket for op in ops if isinstance(op, Reserve | LeaveLine) and op.ticket]
    tickets += [ticket for op in ops if isinstance(op, KeepPlaces) for ticket in op.tickets]
    await scribe.row(
        _LOCK, tenant, [one.kind for one in scopes], [one.id for one in scopes], [one.window for one in scopes],
        [one.window_start for one in scopes], [one.limit.tokens for one in limits], [one.limit.pico for one in limits],
        reservations, tickets,
    )  # fmt: skip


async def reserve(scribe: Scribe, op: Reserve) -> Reserved:
    """See ``Reserve``. Refused is also what would be more than a column can hold."""
    _check(op.need)
    limits = sorted(op.scopes, key=lambda one: one.scope)
    scopes = [one.scope for one in limits]
    verdict, standing, at, tokens, pico, released = await scribe.row(
        _RESERVE, op.tenant, op.id, op.key, op.attempt, op.task, op.model, op.need.tokens, op.need.pico, op.deadline,
        op.owner, op.time, [one.kind for one in scopes], [one.id for one in scopes], [one.window for one in scopes],
        [one.window_start for one in scopes], [one.limit.tokens for one in limits], [one.limit.pico for one in limits],
        [place(one) for one in scopes], op.ticket, op.expires, PASSES,
    )  # fmt: skip
    scribe.released |= released
    if verdict == "granted":
        return Reserved(Granted(), standing)
    named = tuple(scopes[position - 1] for position in at)
    return Reserved(Wait(named) if verdict == "wait" else Refused(named[0], Limit(tokens, pico)))


def place(scope: ScopeRef) -> str:
    """Return the name of a scope's line."""
    return f"{scope.kind}/{scope.window}/{scope.window_start}/{scope.id}"


async def settle(scribe: Scribe, op: Settle) -> Settled:
    """See ``Settle``. What was lost counted in full, so a late settle books only the difference."""
    _check(op.billed)
    state, booked, overrun, kinds, ids, windows, starts = await scribe.row(
        _SETTLE, op.tenant, op.reservation, op.billed.tokens, op.billed.pico, op.vendor_request, op.time
    )
    _check_booked(op.reservation, state, booked=booked)
    if state == "settled":
        return Settled(changed=False)
    scribe.released = True
    closed = zip(kinds or (), ids or (), windows or (), starts or (), strict=True)
    refs = tuple(ScopeRef(cast(ScopeKind, kind), id_, cast(Window, window), at) for kind, id_, window, at in closed)
    return Settled(changed=True, overrun=overrun, closed=refs)


async def lose(scribe: Scribe, op: Lose) -> bool:
    """See ``Lose``."""
    state, booked = await scribe.row(_LOSE, op.tenant, op.reservation, op.time)
    _check_booked(op.reservation, state, booked=booked)
    scribe.released |= state == "held"
    return bool(state == "held")


async def lose_open(scribe: Scribe, op: LoseOpen) -> int:
    """See ``LoseOpen``."""
    count, booked = await scribe.row(_LOSE_OPEN, op.tenant, op.key, op.owner, op.time)
    _check_booked(op.key, "held", booked=booked)
    scribe.released |= count > 0
    return int(count)


async def leave_line(scribe: Scribe, op: LeaveLine) -> None:
    """See ``LeaveLine``."""
    (barred,) = await scribe.row(_LEAVE, op.tenant, op.ticket, PASSES)
    scribe.released |= barred


async def keep_places(scribe: Scribe, op: KeepPlaces) -> None:
    """See ``KeepPlaces``."""
    await scribe.row(_KEEP, op.tenant, list(op.tickets), op.expires)


def _check(amount: Amount) -> None:
    if amount.tokens < 0 or amount.pico < 0:
        raise InvalidInput(f"an amount is zero or more, not {amount.tokens} tokens and {amount.pico} pico-dollars")


def _check_booked(reservation: str, state: str | None, *, booked: bool) -> None:
    if state is None:
        raise NotFound(f"there is no reservation {reservation}")
    if not booked:
        raise StorageError("more is billed than can be booked; check what the vendor reports")
