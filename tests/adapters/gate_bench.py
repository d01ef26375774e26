"""A gate over real storage, for tests."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.breaker import BreakerPolicy
from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.clock import Clock
from multiagent.core.decision import Ask, Decide, Decision
from multiagent.core.messages import says
from multiagent.core.principal import Principal
from multiagent.core.retry import Backoff
from multiagent.llm.base import CallContext, ModelRequest
from multiagent.llm.gate import GateSettings, GateStorage, ModelGate
from multiagent.llm.gate_endpoints import Endpoints, Serving
from multiagent.storage.factory import Storage, open_storage

TENANT = "acme"
PRINCIPAL = Principal(TENANT, "ada")
TASK = ScopeRef("task", "t1")
keys = count(1)


async def allow(ask: Ask) -> Decision:
    return Decision(allow=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """A gate and what it stands on."""

    gate: ModelGate
    storage: Storage
    clock: Clock

    async def used(self, scope: ScopeRef = TASK) -> Amount:
        state = await self.storage.reader.scope(TENANT, scope)
        return state.used if state is not None else Amount()

    async def held(self, scope: ScopeRef = TASK) -> Amount:
        state = await self.storage.reader.scope(TENANT, scope)
        return state.held if state is not None else Amount()


@asynccontextmanager
async def gate_over(
    home: Path,
    servings: Iterable[Serving],
    *,
    decide: Decide = allow,
    clock: Clock | None = None,
    tries: int = 3,
    owner: str = "test",
) -> AsyncIterator[Bench]:
    clock = clock or SystemClock()
    ids = SystemIds()
    home.mkdir(parents=True, exist_ok=True)
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        settings = GateSettings(owner=owner, tries=tries, backoff=Backoff(base=0.001, most=0.002))
        parts = GateStorage(storage.writer, storage.reader, storage.kv)
        endpoints = Endpoints(servings, clock, BreakerPolicy(max_requests=1, timeout=60.0, max_failures=5))
        gate = ModelGate(endpoints, parts, decide, clock, ids, settings)
        try:
            yield Bench(gate, storage, clock)
        finally:
            await gate.close()


def asks(text: str = "What is it?", *, max_output: int = 300, model: str = "") -> ModelRequest:
    return ModelRequest((says("system", "Be brief."), says("user", text)), max_output=max_output, model=model)


def calls(
    *scopes: ScopeLimit,
    key: str = "",
    within_s: float = 60.0,
    cache: bool = True,
    principal: Principal = PRINCIPAL,
    clock: Clock | None = None,
) -> CallContext:
    return CallContext(
        principal=principal,
        key=key or f"key-{next(keys)}",
        scopes=scopes or (limited(),),
        deadline=(clock or SystemClock()).now() + int(within_s * 1000),
        task="t1",
        step="a1/think/1",
        agent="a1",
        cache=cache,
    )


def limited(tokens: int | None = None, pico: int | None = None, scope: ScopeRef = TASK) -> ScopeLimit:
    return ScopeLimit(scope, Limit(tokens, pico))
