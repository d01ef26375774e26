"""Reservations and the scopes they hold in. Every verdict is ``core.budget.judge``'s."""

from typing import Final

from multiagent.core.budget import Amount, Granted, Refused, ScopeLimit, ScopeRef, ScopeState, judge, room
from multiagent.core.errors import InvalidInput, NotFound, StorageError
from multiagent.core.money import LARGEST
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.ops import Lose, LoseOpen, Reserve, Reserved, Settle, Settled
from multiagent.storage.sql.rows import SCOPE, Value, scope_state, text, whole
from multiagent.storage.sql.sqlite.scribe import Scribe

_SCOPE: Final = 'tenant_id = ? AND kind = ? AND id = ? AND "window" = ? AND window_start = ?'
_STATE: Final = f"SELECT {SCOPE} FROM budget_scopes WHERE {_SCOPE}"
_OPEN: Final = """INSERT INTO budget_scopes (tenant_id, kind, id, "window", window_start, limit_tokens, limit_pico)
 VALUES (?, ?, ?, ?, ?, ?, ?)"""
_LIMIT: Final = f"UPDATE budget_scopes SET limit_tokens = ?, limit_pico = ? WHERE {_SCOPE}"
_HOLD: Final = f"UPDATE budget_scopes SET held_tokens = held_tokens + ?, held_pico = held_pico + ? WHERE {_SCOPE}"
_BOOK: Final = f"""UPDATE budget_scopes SET used_tokens = used_tokens + ?, used_pico = used_pico + ?,
 held_tokens = held_tokens - ?, held_pico = held_pico - ? WHERE {_SCOPE} AND used_tokens <= ? AND used_pico <= ?"""
_CLOSE: Final = f"""UPDATE budget_scopes SET closed = 1 WHERE {_SCOPE}
 AND (used_tokens > limit_tokens OR used_pico > limit_pico)"""
_RESERVATION: Final = """INSERT INTO reservations
 (tenant_id, id, key, attempt, task, model, state, need_tokens, need_pico, deadline, owner, time)
 VALUES (?, ?, ?, ?, ?, ?, 'held', ?, ?, ?, ?, ?)"""
_RESERVATION_SCOPE: Final = """INSERT INTO reservation_scopes (tenant_id, reservation, kind, id, "window", window_start)
 VALUES (?, ?, ?, ?, ?, ?)"""
_BY_KEY: Final = "SELECT id FROM reservations WHERE tenant_id = ? AND key = ? AND attempt = ?"
_BY_ID: Final = "SELECT state, need_tokens, need_pico FROM reservations WHERE tenant_id = ? AND id = ?"
_SCOPES_OF: Final = """SELECT kind, id, "window", window_start FROM reservation_scopes
 WHERE tenant_id = ? AND reservation = ? ORDER BY kind, id, "window", window_start"""
_HELD: Final = "SELECT id, need_tokens, need_pico FROM reservations"
_SETTLE: Final = """UPDATE reservations SET state = 'settled', billed_tokens = ?, billed_pico = ?, overrun = ?,
 vendor_request = ?, settled_at = ? WHERE tenant_id = ? AND id = ?"""
_LOSE: Final = (
    "UPDATE reservations SET state = 'lost', settled_at = ? WHERE tenant_id = ? AND id = ? AND state = 'held'"
)


def reserve(scribe: Scribe, op: Reserve) -> Reserved:
    """See ``Reserve``. Refused is also what would be more than a column can hold."""
    _check(op.need)
    standing = scribe.one(_BY_KEY, (op.tenant, op.key, op.attempt))
    if standing is not None:
        return Reserved(Granted(), text(standing[0]))
    states = [_opened(scribe, op.tenant, one) for one in sorted(op.scopes, key=lambda one: one.scope)]
    verdict = _holdable(states, op.need) or judge(states, op.need)
    if not isinstance(verdict, Granted):
        return Reserved(verdict)
    need = op.need
    scribe.change(
        _RESERVATION,
        (
            op.tenant, op.id, op.key, op.attempt, op.task, op.model, need.tokens, need.pico, op.deadline, op.owner,
            op.time,
        ),
    )  # fmt: skip
    scopes = [(one.scope.kind, one.scope.id, one.scope.window, one.scope.window_start) for one in states]
    scribe.change_many(_RESERVATION_SCOPE, [(op.tenant, op.id, *scope) for scope in scopes])
    scribe.change_many(_HOLD, [(need.tokens, need.pico, op.tenant, *scope) for scope in scopes])
    return Reserved(verdict, op.id)


def _opened(scribe: Scribe, tenant: str, wanted: ScopeLimit) -> ScopeState:
    scope, limit = wanted.scope, wanted.limit
    place = (tenant, scope.kind, scope.id, scope.window, scope.window_start)
    row = scribe.one(_STATE, place)
    if row is None:
        scribe.change(_OPEN, (*place, limit.tokens, limit.pico))
        return ScopeState(scope, limit)
    state = scope_state(scope, row)
    if state.limit == limit:
        return state
    scribe.change(_LIMIT, (limit.tokens, limit.pico, *place))
    return ScopeState(scope, limit, state.used, state.held, state.closed)


def settle(scribe: Scribe, op: Settle) -> Settled:
    """See ``Settle``. What was lost counted in full, so a late settle books only the difference."""
    _check(op.billed)
    row = _reservation(scribe, op.tenant, op.reservation)
    state, need = text(row[0]), Amount(whole(row[1]), whole(row[2]))
    if state == "settled":
        return Settled(changed=False)
    billed = op.billed
    overrun = billed.tokens > need.tokens or billed.pico > need.pico
    scribe.change(
        _SETTLE,
        (billed.tokens, billed.pico, int(overrun), op.vendor_request, op.time, op.tenant, op.reservation),
    )
    already, held = (need, Amount()) if state == "lost" else (Amount(), need)
    scopes = scribe.all(_SCOPES_OF, (op.tenant, op.reservation))
    _book(scribe, op.tenant, scopes, Amount(billed.tokens - already.tokens, billed.pico - already.pico), held)
    if not overrun:
        return Settled(changed=True)
    closed = tuple(_ref(scope) for scope in scopes if scribe.change(_CLOSE, (op.tenant, *scope)))
    return Settled(changed=True, overrun=True, closed=closed)


def lose(scribe: Scribe, op: Lose) -> bool:
    """See ``Lose``."""
    row = _reservation(scribe, op.tenant, op.reservation)
    if row[0] != "held":
        return False
    _lose(scribe, op.tenant, op.reservation, op.time, Amount(whole(row[1]), whole(row[2])))
    return True


def lose_open(scribe: Scribe, op: LoseOpen) -> int:
    """See ``LoseOpen``."""
    index = "reservations_key" if op.key else "reservations_held"
    sql = f"{_HELD} INDEXED BY {index} WHERE state = 'held' AND tenant_id = ?"
    values: list[Value] = [op.tenant]
    if op.key:
        sql += " AND key = ?"
        values.append(op.key)
    sql += " AND (deadline < ? OR owner <> ?) ORDER BY id" if op.owner else " ORDER BY id"
    if op.owner:
        values += [op.time, op.owner]
    rows = scribe.all(sql, values)
    for row in rows:
        _lose(scribe, op.tenant, text(row[0]), op.time, Amount(whole(row[1]), whole(row[2])))
    return len(rows)


def keep_order(scribe: Scribe, op: LeaveLine | KeepPlaces) -> None:
    """Do nothing: one process writes here, and its gate keeps the line."""


def _lose(scribe: Scribe, tenant: str, reservation: str, time: int, need: Amount) -> None:
    scribe.change(_LOSE, (time, tenant, reservation))
    _book(scribe, tenant, scribe.all(_SCOPES_OF, (tenant, reservation)), need, need)


def _book(scribe: Scribe, tenant: str, scopes: list[tuple[Value, ...]], used: Amount, held: Amount) -> None:
    row = (used.tokens, used.pico, held.tokens, held.pico, tenant)
    most = (LARGEST - max(0, used.tokens), LARGEST - max(0, used.pico))
    if scribe.change_many(_BOOK, [(*row, *scope, *most) for scope in scopes]) != len(scopes):
        raise StorageError("more is billed than can be booked; check what the vendor reports")
    scribe.released = True


def _check(amount: Amount) -> None:
    if amount.tokens < 0 or amount.pico < 0:
        raise InvalidInput(f"an amount is zero or more, not {amount.tokens} tokens and {amount.pico} pico-dollars")


def _holdable(states: list[ScopeState], need: Amount) -> Refused | None:
    for state in states:
        total = state.used + state.held + need
        if total.tokens > LARGEST or total.pico > LARGEST:
            return Refused(state.scope, room(state))
    return None


def _reservation(scribe: Scribe, tenant: str, reservation: str) -> tuple[Value, ...]:
    row = scribe.one(_BY_ID, (tenant, reservation))
    if row is None:
        raise NotFound(f"there is no reservation {reservation}")
    return row


def _ref(row: tuple[Value, ...]) -> ScopeRef:
    return ScopeRef(text(row[0]), text(row[1]), text(row[2]), whole(row[3]))  # type: ignore[arg-type] # stored kinds
