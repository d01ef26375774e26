"""The gate under chance: whatever vendors do and whoever gives up, the books hold."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest

from multiagent.core.budget import Amount, ScopeRef
from multiagent.core.errors import PlatformError, VendorRejected, VendorUnavailable
from multiagent.core.usage import Usage, cost
from multiagent.llm.base import Chunk, ModelInfo, ModelRequest, StreamEnd, TextDelta
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_endpoints import Serving
from multiagent.testing.suites.llm import TASK, TENANT, limited
from multiagent.testing.vendor_stub import RATES, stub_model
from tests.adapters.gate_bench import gate_over

MODEL = stub_model()
SESSION = ScopeRef("session", "s1")


class Moody:
    """Bills before it answers; then answers, says no usage, breaks off, refuses, or is slow."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.billed: list[Usage] = []

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        mood = self.chance.choice(["exact", "less", "less", "less", "silent", "status", "rejected", "reset", "half"])
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        if mood == "status":
            raise VendorUnavailable("no", details={"status": 503})
        if mood == "rejected":
            raise VendorRejected("no", details={"status": 400})
        most = Usage(prompt_bound(request, model.overhead_tokens), request.max_output)
        usage = most if mood == "exact" else Usage(most.prompt // 2, self.chance.randrange(1, request.max_output + 1))
        self.billed.append(usage)
        if mood == "reset":
            raise VendorUnavailable("reset")
        yield TextDelta("half ")
        await asyncio.sleep(0)
        if mood == "half":
            raise VendorUnavailable("reset")
        yield TextDelta("and half")
        yield StreamEnd("stop", None if mood == "silent" else usage)

    async def close(self) -> None:
        pass


@pytest.mark.requirement("A4.less")
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_the_bill_is_covered_and_the_limit_kept(tmp_path: Path, seed: int) -> None:
    """Vendor's bill ≤ settled + lost ≤ limit in every scope; settled + lost is what the task's bill says."""
    chance = random.Random(seed)
    vendor = Moody(chance)
    limit = chance.randrange(1000, 20_000)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)], tries=2) as bench:

        async def one(number: int) -> None:
            scopes = (limited(tokens=limit), limited(tokens=limit * 2, pico=limit * 10**7, scope=SESSION))
            with suppress(PlatformError):
                await bench.ask(f"question {number}", *scopes, max_output=chance.choice([1, 100, 300, 800]))

        running = [asyncio.create_task(one(number)) for number in range(30)]
        for _ in range(40):
            await asyncio.sleep(0)
        for task in chance.sample(running, 5):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await bench.gate.close()
        billed = Amount(sum(usage.total for usage in vendor.billed), sum(cost(usage, RATES) for usage in vendor.billed))
        task_used, session_used = await bench.used(), await bench.used(SESSION)
        assert task_used == session_used
        assert billed.tokens <= task_used.tokens <= limit
        assert billed.pico <= task_used.pico <= limit * 10**7
        assert await bench.held() == await bench.held(SESSION) == Amount()
        bill = await bench.storage.reader.bill(TENANT, "t1")
        assert Amount(bill.usage.total + bill.lost_tokens, bill.cost_pico + bill.lost_pico) == task_used
        state = await bench.storage.reader.scope(TENANT, TASK)
        assert state is not None
        assert not state.closed
