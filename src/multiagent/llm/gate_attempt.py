"""One attempt of a call at one endpoint: rate limit, reserve, breaker, vendor stream, settle."""

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from typing import Final

import msgspec

from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef, window_start
from multiagent.core.clock import Clock
from multiagent.core.errors import (
    NotFound,
    StorageError,
    VendorBadResponse,
    VendorError,
    VendorRateLimited,
    VendorRejected,
    VendorTimeout,
    VendorUnauthorized,
)
from multiagent.core.fault import fault
from multiagent.core.ids import Ids
from multiagent.core.messages import Part
from multiagent.core.retry import Backoff
from multiagent.core.usage import Usage, cost
from multiagent.llm.base import (
    Answer,
    AttemptStarted,
    CallContext,
    ModelInfo,
    ModelRequest,
    StreamEnd,
    TextDelta,
)
from multiagent.llm.gate_bounds import foreign_opaques, prompt_bytes
from multiagent.llm.gate_budget import Budgets, Held, Plan
from multiagent.llm.gate_endpoints import EndpointState, Serving
from multiagent.llm.gate_estimate import estimate_usage
from multiagent.llm.gate_job import Collected, Job
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.ops import AddSessionTokens, Op, StoreCompletion, StoreUsage

LEAST_CALL_S: Final = 5.0
"""Waiting for a budget ends so long before the deadline that a lowered call can still be made."""

CLOSE_S: Final = 10.0
"""An answer that storage does not take for so long is given up when the gate closes: its hold is lost."""

RATE_WAIT_S: Final = 10.0
"""Above it another endpoint is tried instead of waiting for a rate limit of ours."""

_REARM: Final = 0.01
"""The idle deadline is moved once this share of it has passed since it was moved last, not with every chunk."""

_MOST_REPORTED: Final = 4096
_encode = msgspec.json.Encoder().encode
read_answer = msgspec.json.Decoder(Answer).decode
"""Reads an answer as it is stored under its key."""


class Attempts:
    """Asks endpoints; one for a gate, on one event loop."""

    def __init__(
        self, budgets: Budgets, writer: Writer, reader: Reader, clock: Clock, ids: Ids, model_day: Limit
    ) -> None:
        self._budgets = budgets
        self._model_day = model_day
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._backoff = Backoff(base=0.05, most=2.0)
        self._reported: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._settling: dict[tuple[str, str], asyncio.Task[tuple[object, ...]]] = {}

    async def run(self, state: EndpointState, job: Job) -> Answer:
        """Ask one endpoint once; return the answer, settled and stored.

        Raises VendorError's children, BreakerOpen, BudgetExceeded, BudgetBusy, StorageError's children.
        """
        await self._take_turn(state, job.call)
        held = await self._reserve(state, job)
        fault("gate.after-reserve")
        try:
            generation = state.breaker.before(self._clock.monotonic())
        except Exception:
            self._budgets.free(held)
            raise
        collected = Collected()
        state.in_flight += 1
        started = self._clock.monotonic()
        try:
            await self._stream(state.serving, job, held, collected)
        except BaseException as error:
            self._failed(state, generation, error)
            self._close_books(state.serving, job, held, collected, error)
            raise
        finally:
            state.in_flight -= 1
        now = self._clock.monotonic()
        state.breaker.after(generation, success=True, now=now)
        state.record(success=True, latency_s=now - started)
        fault("gate.after-answer-before-settle")
        return await self._settle(state.serving, job, held, collected)

    async def close(self) -> None:
        """Wait for the answers that are still being settled, for ``CLOSE_S`` at the most."""
        if self._settling:
            _, stuck = await asyncio.wait(tuple(self._settling.values()), timeout=CLOSE_S)
            for one in stuck:
                one.cancel()

    async def settled(self, tenant: str, key: str) -> None:
        """Wait until an answer of this key, whose caller was cancelled, is stored."""
        running = self._settling.get((tenant, key))
        if running is not None:
            await asyncio.wait((running,))

    async def _take_turn(self, state: EndpointState, call: CallContext) -> None:
        if state.bucket is None:
            return
        wait = state.bucket.take(self._clock.monotonic())
        if wait <= 0:
            return
        left = (call.deadline - self._clock.now()) / 1000 - LEAST_CALL_S
        if wait > min(left, RATE_WAIT_S):
            state.bucket.give_back()
            raise VendorRateLimited(
                f"the rate limit that is configured for {state.model.endpoint.id} is used up for {wait:.0f} s",
                details={"vendor": state.model.endpoint.vendor, "sent": False, "retry_after_s": wait},
            )
        await self._clock.sleep(wait)

    async def _reserve(self, state: EndpointState, job: Job) -> Held:
        model = state.model
        plan = Plan(
            call=job.call,
            model=model,
            prompt_tokens=await self._prompt_tokens(state, job),
            max_output=max(1, min(job.request.max_output, model.max_output)),
            owner=job.owner,
            attempt=job.attempt,
            resumed=job.resumed,
            limits=(*job.call.scopes, self._model_scope(model)),
        )
        wait_until = job.call.deadline - int(LEAST_CALL_S * 1000)
        try:
            return await self._budgets.reserve(plan, wait_until)
        finally:
            job.attempt, job.resumed = plan.attempt + 1, plan.resumed

    def _model_scope(self, model: ModelInfo) -> ScopeLimit:
        """The scope that only the gate knows: the model that is asked, today."""
        name = f"{model.endpoint.vendor}/{model.endpoint.model}"
        day = window_start("day", self._clock.now())
        return ScopeLimit(ScopeRef("model", name, "day", day), self._model_day)

    async def _prompt_tokens(self, state: EndpointState, job: Job) -> int:
        """Return the prompt's bound: reported tokens of the longest known prefix, and the bytes of the rest; where a
        vendor bills by our own estimate, that.
        """
        if state.serving.profile.bills_estimate:
            return estimate_usage(job.request, ()).prompt
        overhead = state.model.overhead_tokens
        for position, head in job.heads.before:
            reported = await self._reported_prefix(job.call.principal.tenant, head, state.model.endpoint.model)
            if reported is not None:
                return reported + prompt_bytes(job.request, position) + overhead
        return prompt_bytes(job.request) + overhead

    async def _reported_prefix(self, tenant: str, head: str, model: str) -> int | None:
        key = (tenant, head, model)
        known = self._reported.get(key)
        if known is not None:
            return known
        usage = await self._reader.reported_prompt(tenant, head, model)
        if usage is None or usage.prompt <= 0:
            return None
        self._remember(key, usage.prompt)
        return usage.prompt

    def _remember(self, key: tuple[str, str, str], tokens: int) -> None:
        self._reported[key] = tokens
        if len(self._reported) > _MOST_REPORTED:
            self._reported.popitem(last=False)

    async def _stream(self, serving: Serving, job: Job, held: Held, collected: Collected) -> None:
        request = job.request
        if held.output != request.max_output:
            request = msgspec.structs.replace(request, max_output=held.output)
        job.tries += 1
        if job.watch is not None:
            await job.watch(AttemptStarted(job.tries, serving.model.endpoint.id))
        try:
            await self._read(serving, request, job, collected)
        except TimeoutError:
            raise VendorTimeout(
                f"{serving.model.endpoint.id} {'stopped sending' if collected.started else 'did not answer'} in time",
                details={"vendor": serving.model.endpoint.vendor},
            ) from None
        if collected.end is None:
            raise VendorBadResponse(
                f"{serving.model.endpoint.id} ended its answer without saying so",
                details={"vendor": serving.model.endpoint.vendor},
            )

    async def _read(self, serving: Serving, request: ModelRequest, job: Job, collected: Collected) -> None:
        now = asyncio.get_running_loop().time
        limits = serving.timeouts
        end = now() + min(limits.total, max(0.0, (job.call.deadline - self._clock.now()) / 1000))
        armed = -limits.total
        async with (
            asyncio.timeout_at(min(end, now() + limits.first_byte)) as timer,
            aclosing(serving.provider.stream(serving.model, request)) as chunks,
        ):
            async for chunk in chunks:
                collected.started = True
                if isinstance(chunk, StreamEnd):
                    collected.end = chunk
                    continue
                if isinstance(chunk, TextDelta):
                    collected.text.append(chunk.text)
                else:
                    collected.add(chunk.part)
                if job.watch is not None:
                    timer.reschedule(end)
                    await job.watch(chunk)
                    armed = -limits.total
                if now() - armed > limits.idle * _REARM:
                    armed = now()
                    timer.reschedule(min(end, armed + limits.idle))

    def _failed(self, state: EndpointState, generation: int, error: BaseException) -> None:
        """Tell the breaker and the router: only what says something about the vendor's health counts."""
        excused = (VendorRejected, VendorUnauthorized, VendorRateLimited)
        if not isinstance(error, VendorError) or isinstance(error, excused):
            state.breaker.release(generation)
            if isinstance(error, VendorError):
                state.record(success=False, latency_s=None)
            return
        state.breaker.after(generation, success=False, now=self._clock.monotonic())
        state.record(success=False, latency_s=None)

    def _close_books(self, serving: Serving, job: Job, held: Held, collected: Collected, error: BaseException) -> None:
        if serving.profile.on_disconnect == "free" or (not collected.started and cost_nothing(error)):
            self._budgets.free(held)
            return
        self._budgets.lose(held)
        job.lost += held.need

    async def _settle(self, serving: Serving, job: Job, held: Held, collected: Collected) -> Answer:
        end = collected.end
        assert end is not None, "a stream without an end was refused above"  # noqa: S101 - an invariant, not input
        parts = collected.whole()
        answer = self._answer(serving, job, held, end, parts)
        book: Op = self._budgets.settle_op(held, Amount(answer.usage.total, answer.cost_pico), end.request_id)
        if end.usage is None:
            if serving.profile.on_disconnect == "free":
                book = self._budgets.settle_op(held, Amount(), end.request_id)
            else:
                job.lost += held.need
                book = self._budgets.lose_op(held)
                lost = job.lost
                answer = msgspec.structs.replace(answer, lost_tokens=lost.tokens, lost_pico=lost.pico)
        elif not end.estimated:
            key = (held.tenant, job.heads.whole, serving.model.endpoint.model)
            self._remember(key, end.usage.prompt)
        ops = (
            book,
            *self.record_ops(job, answer, serving.model.endpoint.id, end.usage),
            *self._session_ops(job.call, end.usage),
        )
        stored_first = (await self._commit(job.call, *ops))[1]
        return answer if stored_first else await self._standing(job, answer)

    async def _standing(self, job: Job, answer: Answer) -> Answer:
        """Return the answer that another process has stored under this key first: everyone gets the same."""
        stored = await self._reader.completion(job.call.principal.tenant, job.call.key)
        return answer if stored is None else read_answer(stored.answer)

    def _answer(self, serving: Serving, job: Job, held: Held, end: StreamEnd, parts: tuple[Part, ...]) -> Answer:
        usage = end.usage if end.usage is not None else estimate_usage(job.request, parts)
        price = cost(usage, serving.model.rates) if end.usage is not None else 0
        wanted = min(job.request.max_output, serving.model.max_output)
        return Answer(
            parts=parts,
            finish=end.finish,
            usage=usage,
            vendor=serving.model.endpoint.vendor,
            model=serving.model.endpoint.model,
            cost_pico=price,
            request_id=end.request_id,
            estimated=end.estimated or end.usage is None,
            lowered=held.output if held.output < wanted else 0,
            lost_tokens=job.lost.tokens,
            lost_pico=job.lost.pico,
            overrun=end.usage is not None and (usage.total > held.need.tokens or price > held.need.pico),
            dropped=foreign_opaques(job.request, serving.model.endpoint.vendor, serving.model.endpoint.model),
            fallbacks=tuple(job.fallbacks),
        )

    def record_ops(self, job: Job, answer: Answer, endpoint: str, reported: Usage | None) -> tuple[Op, Op]:
        """Return the operations that keep an answer under its key and write its line of the bill."""
        call, now = job.call, self._clock.now()
        tenant = call.principal.tenant
        completion = StoreCompletion(
            tenant=tenant, key=call.key, request_hash=job.asked, answer=_encode(answer), time=now
        )
        line = StoreUsage(
            tenant=tenant,
            id=self._ids(),
            task=call.task,
            step=call.step,
            agent=call.agent,
            endpoint=endpoint,
            vendor=answer.vendor,
            model=answer.model,
            user=call.principal.user,
            session=call.session,
            usage=reported if reported is not None else Usage(),
            cost_pico=answer.cost_pico,
            saved_pico=answer.saved_pico,
            time=now,
            key=call.key,
            end_user=call.end_user,
            request_id=answer.request_id,
            head_hash=job.heads.whole if reported is not None else "",
            estimated=answer.estimated,
        )
        return completion, line

    def _session_ops(self, call: CallContext, usage: Usage | None) -> tuple[Op, ...]:
        """Return what adds a call to its session, in the commit that settles it: so it is added once."""
        if not call.session or usage is None or not usage.total:
            return ()
        tenant, now = call.principal.tenant, self._clock.now()
        return (AddSessionTokens(tenant=tenant, id=call.session, tokens=usage.total, time=now),)

    async def _commit(self, call: CallContext, *ops: Op) -> tuple[object, ...]:
        """Commit, whatever happens to the caller: a received answer is never lost for want of a moment."""
        key = (call.principal.tenant, call.key)
        running = self._settling[key] = asyncio.get_running_loop().create_task(self._insist(call, ops))
        running.add_done_callback(lambda done: self._stored(key, done))
        return await asyncio.shield(running)

    def _stored(self, key: tuple[str, str], done: "asyncio.Task[tuple[object, ...]]") -> None:
        """Forget a commit; its error is its caller's, who may have been cancelled meanwhile."""
        self._settling.pop(key, None)
        if not done.cancelled():
            done.exception()

    async def _insist(self, call: CallContext, ops: tuple[Op, ...]) -> tuple[object, ...]:
        until = max(call.deadline, self._clock.now() + int(LEAST_CALL_S * 1000))
        attempt = 0
        while True:
            try:
                return await self._writer.commit(*ops)
            except NotFound:  # the session is gone; the money is booked all the same
                ops = tuple(op for op in ops if not isinstance(op, AddSessionTokens))
                continue
            except StorageError as error:
                if not error.retryable or self._clock.now() >= until:
                    raise
            await self._clock.sleep(self._backoff.delay(attempt, 0.0))
            attempt += 1


def cost_nothing(error: BaseException) -> bool:
    """Tell whether a failed call certainly was not billed: an error status, or it never left."""
    if not isinstance(error, VendorError):
        return False
    return error.details.get("sent") is False or isinstance(error.details.get("status"), int)
