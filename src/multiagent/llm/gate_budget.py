"""Reservations of the gate: hold, wait in order, lower, refuse; settle or lose."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from multiagent.core.budget import (
    LEAST_OUTPUT,
    Amount,
    Granted,
    Limit,
    Refused,
    ScopeLimit,
    ScopeRef,
    Wait,
    fitting_output,
    need,
)
from multiagent.core.clock import Clock
from multiagent.core.errors import BudgetBusy, NotFound, StorageError
from multiagent.core.ids import Ids
from multiagent.llm.base import CallContext, ModelInfo
from multiagent.llm.gate_line import Line, Ticket
from multiagent.llm.gate_refusals import busy, exceeded
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.line import KeepPlaces, LeaveLine
from multiagent.storage.sql.ops import Lose, LoseOpen, Reserve, Reserved, Settle

POLL_S: Final = 1.0
"""How often a waiter looks for room that another process has made."""

PLACE_MS: Final = 5000
"""How long a place in the line that processes share is kept after its process last asked for it."""


@dataclass(slots=True)
class Plan:
    """What one call may need: prompt bound and wanted max output on a model; ``attempt`` counts its reservations.

    ``limits`` are those of the call's own scopes and of the model's. ``resumed``: an earlier run of this key was found,
    and what it left open is lost.
    """

    call: CallContext
    model: ModelInfo
    prompt_tokens: int
    max_output: int
    owner: str
    attempt: int
    resumed: bool
    limits: tuple[ScopeLimit, ...]
    scopes: frozenset[ScopeRef] = field(init=False)

    def __post_init__(self) -> None:
        self.scopes = frozenset(limit.scope for limit in self.limits)

    def need(self, output: int) -> Amount:
        """The most that the call can use with this max output."""
        return need(self.prompt_tokens, output, self.model.rates)

    @property
    def least(self) -> int:
        """The least max output that is worth asking for."""
        return min(LEAST_OUTPUT, self.max_output)

    def lowered(self, output: int, *left: Limit) -> int:
        """The largest max output below this one that fits what is left; 0 where that is too little."""
        fits = min(fitting_output(self.prompt_tokens, self.model.rates, left), output - 1)
        return fits if fits >= self.least else 0


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation that stands."""

    id: str
    tenant: str
    need: Amount
    output: int
    attempt: int
    scopes: frozenset[ScopeRef]


@dataclass(slots=True, eq=False)
class _Waiter:
    """Someone in the line, and what is asked for him. ``id`` and ``expires`` are of his places in the shared line."""

    id: str
    ticket: Ticket
    plan: Plan
    output: int
    verdict: "asyncio.Future[Held | Refused]"
    expires: int = 0


class Budgets:
    """Reserves for calls; one for a gate, on one event loop. ``close`` ends its waiting."""

    def __init__(self, writer: Writer, reader: Reader, clock: Clock, ids: Ids) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._line = Line()
        self._waiters: dict[Ticket, _Waiter] = {}
        self._pump: asyncio.Task[None] | None = None
        self._dirty = False
        self._undoing: set[asyncio.Task[None]] = set()
        self._unsubscribe: Callable[[], None] | None = writer.on_release(self.released)

    async def reserve(self, plan: Plan, wait_until: int) -> Held:
        """Hold what the plan needs, waiting until ``wait_until`` (ms UTC) while only others' holds stand in the way.

        Where that is too much, the max output is lowered to what fits, never below ``LEAST_OUTPUT`` (or below what
        was asked, where that is less). Raises BudgetExceeded where used plus the least need is over a limit, BudgetBusy
        where others' holds stood in the way until the end.
        """
        output = plan.max_output
        last_try = False
        while True:
            verdict = await self._ask(plan, output, wait_until)
            if isinstance(verdict, Held):
                return verdict
            if isinstance(verdict, Refused):
                output = plan.lowered(output, verdict.room)
                if not output:
                    raise exceeded(verdict, plan.need(plan.least))
                continue
            if not last_try:
                last_try, wait_until = True, 0
                output = plan.lowered(output, *await self._beside_holds(plan, verdict))
                if output:
                    continue
            raise busy(verdict)

    def settle_op(self, held: Held, billed: Amount, vendor_request: str = "") -> Settle:
        """Return the operation that books what the vendor billed."""
        return Settle(
            tenant=held.tenant,
            reservation=held.id,
            billed=billed,
            time=self._clock.now(),
            vendor_request=vendor_request,
        )

    def lose_op(self, held: Held) -> Lose:
        """Return the operation that counts a reservation in full."""
        return Lose(tenant=held.tenant, reservation=held.id, time=self._clock.now())

    def free(self, held: Held) -> None:
        """Settle a call that cost nothing, in order before every later commit."""
        self._close(self.settle_op(held, Amount()))

    def lose(self, held: Held) -> None:
        """Count a call in full that may have been billed, in order before every later commit."""
        self._close(self.lose_op(held))

    def _close(self, op: Settle | Lose | LeaveLine) -> None:
        """Book without waiting. What storage cannot take any more is found open, and lost, at the next start."""
        with suppress(StorageError):
            self._writer.queue(op)

    def released(self) -> None:
        """Holds have ended: let those who wait try again."""
        if not self._line.tickets:
            return
        self._dirty = True
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._serve())

    async def close(self) -> None:
        """End the waiting; waiters get BudgetBusy. Grants whose callers were cancelled are undone first."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._undoing:
            await asyncio.wait(tuple(self._undoing))
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump
        for waiter in list(self._waiters.values()):
            if not waiter.verdict.done():
                waiter.verdict.set_exception(BudgetBusy("the gate is closing; run the call again"))

    async def _ask(self, plan: Plan, output: int, wait_until: int) -> Held | Refused | Wait:
        verdict: Held | Refused | Wait = Wait(tuple(sorted(plan.scopes)))
        if not self._line.barred(plan.scopes):
            verdict = await self._try(plan, output)
        if not isinstance(verdict, Wait) or self._clock.now() >= wait_until:
            return verdict
        return await self._wait(plan, output, verdict.scopes, wait_until)

    async def _try(self, plan: Plan, output: int) -> Held | Refused | Wait:
        """Ask at once, with the next attempt number that an earlier run of the same key has not used."""
        while True:
            op = self._op(plan, output)
            verdict = _standing(op, output, await self._answer_to(op))
            if not isinstance(verdict, Held):
                return verdict
            if verdict.id == op.id:
                self._line.served(plan.scopes)
                return verdict
            self._resume(plan)

    async def _answer_to(self, op: Reserve) -> object:
        """Wait for the answer to a reservation; when cancelled meanwhile, undo what is granted."""
        try:
            return (await self._writer.commit(op))[0]
        except asyncio.CancelledError:
            undoing = asyncio.get_running_loop().create_task(self._undo(op))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise

    async def _undo(self, op: Reserve) -> None:
        """Free what was granted; nothing was where there is no such reservation."""
        with suppress(NotFound, StorageError):
            await self._writer.commit(
                Settle(tenant=op.tenant, reservation=op.id, billed=Amount(), time=self._clock.now())
            )

    def _resume(self, plan: Plan) -> None:
        """Go on after an earlier run of the same key: what it left open may have been billed."""
        if not plan.resumed:
            tenant = plan.call.principal.tenant
            self._writer.queue(LoseOpen(tenant=tenant, key=plan.call.key, time=self._clock.now()))
            plan.resumed = True
        plan.attempt += 1

    def _op(self, plan: Plan, output: int, ticket: str = "", expires: int = 0) -> Reserve:
        call = plan.call
        return Reserve(
            tenant=call.principal.tenant,
            id=self._ids(),
            key=call.key,
            attempt=plan.attempt,
            task=call.task,
            scopes=plan.limits,
            need=plan.need(output),
            time=self._clock.now(),
            deadline=call.deadline,
            owner=plan.owner,
            model=plan.model.endpoint.model,
            ticket=ticket,
            expires=expires,
        )

    async def _wait(self, plan: Plan, output: int, blocked: tuple[ScopeRef, ...], until: int) -> Held | Refused | Wait:
        ticket = self._line.join(plan.scopes, blocked)
        verdict: asyncio.Future[Held | Refused] = asyncio.get_running_loop().create_future()
        waiter = self._waiters[ticket] = _Waiter(self._ids(), ticket, plan, output, verdict)
        try:
            self.released()
            while not verdict.done():
                left = (until - self._clock.now()) / 1000
                if left <= 0:
                    return Wait(tuple(sorted(ticket.blocked)))
                await self._pause(verdict, min(left, POLL_S))
                self.released()
            return verdict.result()
        except asyncio.CancelledError:
            self._take_back(verdict)
            raise
        finally:
            self._line.leave(ticket)
            del self._waiters[ticket]
            verdict.cancel()
            self._leave(waiter)

    def _leave(self, waiter: _Waiter) -> None:
        """Give up the places in the shared line that a grant has not used."""
        if waiter.expires:
            self._close(LeaveLine(tenant=waiter.plan.call.principal.tenant, ticket=waiter.id))

    def _take_back(self, verdict: "asyncio.Future[Held | Refused]") -> None:
        """Undo a grant that came as its caller was cancelled."""
        if verdict.done() and not verdict.cancelled() and verdict.exception() is None:
            result = verdict.result()
            if isinstance(result, Held):
                self.free(result)

    async def _pause(self, verdict: "asyncio.Future[Held | Refused]", seconds: float) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((verdict, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    async def _serve(self) -> None:
        """Try for those who wait, in order, until a round changes nothing."""
        while self._dirty:
            self._dirty = False
            waiters = [self._waiters[ticket] for ticket in self._line.round() if ticket in self._waiters]
            if not waiters:
                return
            expires = self._clock.now() + PLACE_MS
            for waiter in waiters:
                waiter.expires = expires
            ops = [self._op(waiter.plan, waiter.output, waiter.id, expires) for waiter in waiters]
            try:
                answers = await self._writer.commit(*ops)
            except StorageError as error:
                self._fail(waiters, error)
                return
            for waiter, op, answer in zip(waiters, ops, answers, strict=True):
                self._dirty |= self._answer(waiter, op, _standing(op, waiter.output, answer))
        self._keep()

    def _keep(self) -> None:
        """Keep the places of those who were not asked for of late, as they wait behind one who must not be passed."""
        expires = self._clock.now() + PLACE_MS
        late: dict[str, list[str]] = {}
        for waiter in self._waiters.values():
            if 0 < waiter.expires <= expires - int(POLL_S * 1000):
                waiter.expires = expires
                late.setdefault(waiter.plan.call.principal.tenant, []).append(waiter.id)
        for tenant, tickets in late.items():
            with suppress(StorageError):
                self._writer.queue(KeepPlaces(tenant=tenant, tickets=tuple(tickets), expires=expires))

    def _answer(self, waiter: _Waiter, op: Reserve, verdict: Held | Refused | Wait) -> bool:
        """Tell a waiter what came; True where others may be able to go on now."""
        if isinstance(verdict, Wait):
            waiter.ticket.blocked = frozenset(verdict.scopes)
            if waiter.verdict.done():
                self._leave(waiter)
            return False
        if isinstance(verdict, Held) and verdict.id != op.id:
            self._resume(waiter.plan)
            return True
        if waiter.verdict.done():
            if isinstance(verdict, Held):
                self.free(verdict)
            return True
        if isinstance(verdict, Held):
            waiter.expires = 0
            self._line.served(waiter.plan.scopes, waiter.ticket)
        elif output := waiter.plan.lowered(waiter.output, verdict.room):
            waiter.output = output  # and it keeps its place
            return True
        else:
            self._line.leave(waiter.ticket)
        waiter.verdict.set_result(verdict)
        return True

    def _fail(self, waiters: list[_Waiter], error: StorageError) -> None:
        for waiter in waiters:
            self._line.leave(waiter.ticket)
            if not waiter.verdict.done():
                waiter.verdict.set_exception(error)

    async def _beside_holds(self, plan: Plan, wait: Wait) -> tuple[Limit, ...]:
        """Return what the scopes that blocked have left beside all holds."""
        left: list[Limit] = []
        for scope in wait.scopes:
            state = await self._reader.scope(plan.call.principal.tenant, scope)
            if state is not None:
                tokens, pico = state.limit.tokens, state.limit.pico
                booked = state.used + state.held
                left.append(
                    Limit(
                        None if tokens is None else max(0, tokens - booked.tokens),
                        None if pico is None else max(0, pico - booked.pico),
                    )
                )
        return tuple(left)


def _standing(op: Reserve, output: int, answer: object) -> Held | Refused | Wait:
    if not isinstance(answer, Reserved):
        raise StorageError(f"a reservation was answered with {type(answer).__name__}")
    if not isinstance(answer.verdict, Granted):
        return answer.verdict
    return Held(
        answer.id or op.id, op.tenant, op.need, output, op.attempt, frozenset(limit.scope for limit in op.scopes)
    )
