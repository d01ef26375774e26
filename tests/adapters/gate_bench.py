"""A gate over real storage, for tests."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.breaker import BreakerPolicy
from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.clock import Clock
from multiagent.core.decision import Ask, Decide, Decision
from multiagent.core.retry import Backoff
from multiagent.llm.base import Answer
from multiagent.llm.gate import GateSettings, GateStorage, ModelGate
from multiagent.llm.gate_endpoints import Endpoints, Serving
from multiagent.storage.factory import Storage, open_storage
from multiagent.testing.suites.llm import TASK, TENANT, Desk, Q, asks, calls


async def allow(ask: Ask) -> Decision:
    return Decision(allow=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """A gate and what it stands on."""

    gate: ModelGate
    storage: Storage
    clock: Clock

    @property
    def desk(self) -> Desk:
        return Desk(self.gate, self.storage.reader, self.clock)

    async def used(self, scope: ScopeRef = TASK) -> Amount:
        return (await self.desk.booked(scope))[0]

    async def held(self, scope: ScopeRef = TASK) -> Amount:
        return (await self.desk.booked(scope))[1]

    async def lost(self) -> Amount:
        bill = await self.storage.reader.bill(TENANT, "t1")
        return Amount(bill.lost_tokens, bill.lost_pico)

    async def ask(self, text: str = Q, *scopes: ScopeLimit, **more: object) -> Answer:
        """Ask with a key of its own, past the cache, unless told otherwise."""
        request = asks(text, max_output=int(str(more.pop("max_output", 300))), model=str(more.pop("model", "")))
        call = calls(self.clock, *scopes, within_s=float(str(more.pop("within_s", 60))))
        return await self.gate.complete(request, msgspec.structs.replace(call, **{"cache": False, **more}))


@asynccontextmanager
async def gate_over(
    home: Path,
    servings: Iterable[Serving],
    *,
    decide: Decide = allow,
    clock: Clock | None = None,
    tries: int = 3,
    owner: str = "test",
    model_day: Limit | None = None,
    url: str = "",
) -> AsyncIterator[Bench]:
    clock = clock or SystemClock()
    ids = SystemIds()
    home.mkdir(parents=True, exist_ok=True)
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL", url=url) as storage:
        backoff = Backoff(base=0.001, most=0.002)
        settings = GateSettings(owner=owner, tries=tries, backoff=backoff, model_day=model_day or Limit())
        parts = GateStorage(storage.writer, storage.reader, storage.kv)
        endpoints = Endpoints(servings, clock, BreakerPolicy(max_requests=1, timeout=60.0, max_failures=5))
        gate = ModelGate(endpoints, parts, decide, clock, ids, settings)
        try:
            yield Bench(gate, storage, clock)
        finally:
            await gate.close()
