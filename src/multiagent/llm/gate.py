"""The only way to a model.

Completion by idempotency key → policy → exact cache; then per attempt: route → rate limit → reserve for that model →
breaker → vendor → settle (with completion and bill in one commit); at last the cache.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from multiagent.core.breaker import State
from multiagent.core.budget import Limit
from multiagent.core.clock import Clock
from multiagent.core.decision import Decide, ModelAsk
from multiagent.core.errors import (
    BreakerOpen,
    BudgetBusy,
    BudgetExceeded,
    InvalidInput,
    NoModel,
    PlatformError,
    PolicyDenied,
    StorageError,
    VendorError,
    VendorRejected,
    VendorTimeout,
    VendorUnauthorized,
)
from multiagent.core.ids import Ids
from multiagent.core.label import join
from multiagent.core.retry import Backoff
from multiagent.llm.base import Answer, Answered, CallContext, Fallback, ModelRequest, StreamItem
from multiagent.llm.cache import ExactCache, cache_key, may_keep, may_look_up
from multiagent.llm.gate_attempt import Attempts, read_answer
from multiagent.llm.gate_budget import Budgets
from multiagent.llm.gate_endpoints import Endpoints, EndpointState
from multiagent.llm.gate_estimate import estimate_usage
from multiagent.llm.gate_job import Job, Watch
from multiagent.storage.kv.base import KeyValue
from multiagent.storage.sql.base import Reader, Writer
from multiagent.storage.sql.ops import LoseOpen


@dataclass(frozen=True, slots=True)
class GateStorage:
    """The parts of storage that the gate stands on."""

    writer: Writer
    reader: Reader
    kv: KeyValue


@dataclass(frozen=True, slots=True)
class GateSettings:
    """``owner`` names this process in reservations; ``tries`` of one endpoint before the next is asked.

    ``model_day`` is the limit of each model in a UTC day.
    """

    owner: str
    tries: int = 3
    backoff: Backoff = field(default_factory=lambda: Backoff(base=0.2, most=10.0, jitter=0.5))
    cache_ttl_s: float = 3600.0
    model_day: Limit = Limit()  # noqa: RUF009 — frozen


class ModelGate:
    """See ``llm.base.Gate``. Belongs to one event loop; ``close`` waits for what is being settled."""

    def __init__(
        self,
        endpoints: Endpoints,
        storage: GateStorage,
        decide: Decide,
        clock: Clock,
        ids: Ids,
        settings: GateSettings,
    ) -> None:
        self._endpoints = endpoints
        self._storage = storage
        self._decide = decide
        self._clock = clock
        self._settings = settings
        self._cache = ExactCache(storage.kv, settings.cache_ttl_s)
        self._budgets = Budgets(storage.writer, storage.reader, clock, ids)
        self._attempts = Attempts(self._budgets, storage.writer, storage.reader, clock, ids, settings.model_day)
        self._open: dict[tuple[str, str], asyncio.Event] = {}

    async def complete(self, request: ModelRequest, call: CallContext) -> Answer:
        """See ``llm.base.Gate``."""
        return await self._once(request, call, None)

    async def stream(self, request: ModelRequest, call: CallContext) -> AsyncGenerator[StreamItem, None]:
        """See ``llm.base.Gate``."""
        items: asyncio.Queue[StreamItem] = asyncio.Queue(64)
        asking = asyncio.get_running_loop().create_task(self._once(request, call, items.put))
        try:
            while not (asking.done() and items.empty()):
                if not items.empty():
                    yield items.get_nowait()
                    continue
                getting = asyncio.ensure_future(items.get())
                try:
                    await asyncio.wait((getting, asking), return_when=asyncio.FIRST_COMPLETED)
                    item = getting.result() if getting.done() else None
                finally:
                    getting.cancel()
                if item is not None:
                    yield item
            yield Answered(await asking)
        finally:
            asking.cancel()
            await asyncio.wait((asking,))

    async def recover(self, tenant: str) -> int:
        """Lose what other owners of this tenant's budgets left open; return how many. Only for a sole owner."""
        lost = (
            await self._storage.writer.commit(
                LoseOpen(tenant=tenant, owner=self._settings.owner, time=self._clock.now())
            )
        )[0]
        return lost if isinstance(lost, int) else 0

    def breakers(self) -> Mapping[str, State]:
        """Return the state of each endpoint's breaker now."""
        now = self._clock.monotonic()
        return {one.model.endpoint.id: one.breaker.state(now) for one in self._endpoints.all()}

    async def close(self) -> None:
        """End the waiting and see every received answer settled, every other reservation closed."""
        await self._budgets.close()
        await self._attempts.close()
        with suppress(StorageError):  # who waited for the storage that broke was told
            await self._storage.writer.commit()

    async def _once(self, request: ModelRequest, call: CallContext, watch: Watch | None) -> Answer:
        """Let one call of an idempotency key run at a time in this process."""
        key = (call.principal.tenant, call.key)
        if key in self._open:
            await self._turn(key, call)
        done = self._open[key] = asyncio.Event()
        try:
            await self._attempts.settled(*key)
            return await self._answer(Job(request, call, self._settings.owner, watch))
        finally:
            del self._open[key]
            done.set()

    async def _turn(self, key: tuple[str, str], call: CallContext) -> None:
        try:
            async with asyncio.timeout(max(0.0, (call.deadline - self._clock.now()) / 1000)):
                while (running := self._open.get(key)) is not None:
                    await running.wait()
        except TimeoutError:
            raise VendorTimeout(f"an earlier run of the call {call.key} has not ended in time; try again") from None

    async def _answer(self, job: Job) -> Answer:
        stored = await self._completion(job)
        if stored is not None:
            return stored
        states = self._endpoints.route(job.request, estimate_usage(job.request, ()).prompt)
        denials: list[str] = []
        allowed = await self._allowed(job, states, denials)
        key = ""
        if may_look_up(job.request, job.call):
            key = cache_key(job.request, job.asked, job.call)
            hit = await self._cache.find(key)
            if hit is not None:
                await self._storage.writer.commit(
                    self._left_open(job), *self._attempts.record_ops(job, hit, "cache/exact", None)
                )
                return hit
        answer = await self._chain(job, allowed, denials)
        if key and may_keep(answer):
            await self._cache.keep(key, answer)
        return answer

    def _left_open(self, job: Job) -> LoseOpen:
        """What a run of this call held that died, in any process: this one needs none."""
        return LoseOpen(tenant=job.call.principal.tenant, key=job.call.key, time=self._clock.now())

    async def _completion(self, job: Job) -> Answer | None:
        stored = await self._storage.reader.completion(job.call.principal.tenant, job.call.key)
        if stored is None:
            return None
        if stored.request_hash != job.asked:
            raise InvalidInput(
                f"the idempotency key {job.call.key!r} was used for another request; give each request its own key"
            )
        return msgspec.structs.replace(read_answer(stored.answer), cached="completion")

    async def _allowed(
        self, job: Job, states: tuple[EndpointState, ...], denials: list[str]
    ) -> tuple[EndpointState, ...]:
        """Return the endpoints from the first on that policy allows. Raises PolicyDenied where it allows none."""
        for position, state in enumerate(states):
            if await self._may(job, state, denials):
                return states[position:]
        raise PolicyDenied(
            f"policy does not allow this model call: {'; '.join(denials) or 'no reason given'}",
            details={"reasons": list(denials)},
        )

    async def _may(self, job: Job, state: EndpointState, denials: list[str]) -> bool:
        request, model = job.request, state.model
        decision = await self._decide(
            ModelAsk(
                principal=job.call.principal,
                vendor=model.endpoint.vendor,
                model=model.endpoint.model,
                tier=model.tier,
                max_output=request.max_output,
                labels=join(job.call.labels, *(message.labels for message in request.messages)),
            )
        )
        if decision.allow and not decision.needs_approval:
            return True
        denials.extend(decision.reasons or ("a person would have to approve it",))
        return False

    async def _chain(self, job: Job, states: tuple[EndpointState, ...], denials: list[str]) -> Answer:
        """Ask one endpoint after the other; the first is allowed already."""
        last: PlatformError = NoModel("no configured model could be asked")
        for position, state in enumerate(states):
            if position and not await self._may(job, state, denials):
                continue
            try:
                answer = await self._try(job, state, has_next=position + 1 < len(states))
            except BudgetExceeded as error:  # a cheaper model may fit
                last = error
                continue
            except (VendorRejected, BudgetBusy) as error:
                last = error
                break
            if isinstance(answer, Answer):
                return answer
            last = answer
        last.details["fallbacks"] = [msgspec.to_builtins(one) for one in job.fallbacks]
        last.details["lost_tokens"], last.details["lost_pico"] = job.lost.tokens, job.lost.pico
        raise last

    async def _try(self, job: Job, state: EndpointState, *, has_next: bool) -> Answer | VendorError | BreakerOpen:
        """Ask one endpoint until it answers or the next should be tried; then return its last error."""
        attempt = 0
        while True:
            lost = job.lost
            try:
                return await self._attempts.run(state, job)
            except VendorRejected:
                raise
            except (VendorError, BreakerOpen) as error:
                billed = job.lost != lost
                job.fallbacks.append(Fallback(state.model.endpoint.id, error.code, error.message, billed))
                wait = self._wait(job, error, attempt, has_next=has_next)
                if wait is None:
                    return error
            attempt += 1
            await self._clock.sleep(wait)

    def _wait(self, job: Job, error: PlatformError, attempt: int, *, has_next: bool) -> float | None:
        """Return the seconds to wait before the same endpoint is asked again; None where that is of no use."""
        if not error.retryable or isinstance(error, BreakerOpen | VendorUnauthorized):
            return None
        if attempt + 1 >= self._settings.tries:
            return None
        unit = hashlib.sha256(f"{job.call.key}/{job.attempt}".encode()).digest()[0] / 256
        wait = self._settings.backoff.delay(attempt, unit)
        asked = error.details.get("retry_after_s")
        if isinstance(asked, int | float):
            wait = max(wait, float(asked))
            if has_next and wait > 2.0:
                return None
        left = (job.call.deadline - self._clock.now()) / 1000
        return wait if wait < left else None
