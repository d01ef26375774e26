"""Budgets at the gate: no limit is ever overspent, nothing that fits is refused, waiting is fair."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from multiagent.core.budget import LEAST_OUTPUT, Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.errors import BudgetExceeded, VendorUnavailable
from multiagent.core.usage import Usage
from multiagent.llm.base import ModelInfo, ModelRequest
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_endpoints import Serving
from multiagent.storage.sql.ops import LoseOpen
from multiagent.testing.suites.llm import TASK, TENANT, asks, calls, limited
from multiagent.testing.vendor_stub import RATES, VendorStub, bills_exactly, bills_silently, stub_model
from tests.adapters.gate_bench import Bench, gate_over

MODEL = stub_model()
OUTPUT = 300


def bound(text: str, output: int = OUTPUT) -> int:
    return prompt_bound(asks(text), MODEL.overhead_tokens) + output


def price(text: str, output: int = OUTPUT) -> int:
    return prompt_bound(asks(text), MODEL.overhead_tokens) * RATES.dearest_prompt + output * RATES.completion


async def outcomes(bench: Bench, texts: list[str], *scopes: ScopeLimit) -> list[object]:
    return list(await asyncio.gather(*(bench.ask(text, *scopes) for text in texts), return_exceptions=True))


@pytest.mark.requirement("A4.exact", "S.cost.budget")
@pytest.mark.parametrize("unit", ["tokens", "pico"])
async def test_of_64_calls_at_exactly_the_bound_a_budget_of_10_bounds_lets_10_succeed(
    tmp_path: Path, unit: str
) -> None:
    """Whichever unit the budget is in; the others are refused, and the budget is used to its last token."""
    texts = [f"question {number:02}" for number in range(64)]
    limit = Limit(tokens=10 * bound(texts[0])) if unit == "tokens" else Limit(pico=10 * price(texts[0]))
    vendor = VendorStub(usage=_dearest if unit == "pico" else bills_exactly)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        ended = await outcomes(bench, texts, ScopeLimit(TASK, limit))
        refused = [one for one in ended if isinstance(one, BudgetExceeded)]
        assert (len(ended) - len(refused), len(refused)) == (10, 54)
        assert len(vendor.requests) == 10
        used = await bench.used()
        assert used.tokens == 10 * bound(texts[0])
        if unit == "pico":
            assert used.pico == limit.pico
        assert await bench.held() == Amount()


def _dearest(model: ModelInfo, request: ModelRequest) -> Usage:
    prompt = prompt_bound(request, model.overhead_tokens)
    return Usage(prompt, request.max_output, written=prompt)


@pytest.mark.requirement("A4.less")
async def test_a_model_that_bills_less_is_never_over_and_none_is_refused_that_fits(tmp_path: Path) -> None:
    """Calls wait while only holds stand in the way; a refused one finds used plus the least need over the limit."""
    texts = [f"question {number:02}" for number in range(64)]
    limit = 5 * bound(texts[0])
    used_at_refusal: list[int] = []

    def bills_a_third(model: ModelInfo, request: ModelRequest) -> Usage:
        return Usage(prompt_bound(request, model.overhead_tokens) // 3, request.max_output // 3)

    vendor = VendorStub(usage=bills_a_third)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:

        async def one(text: str) -> bool:
            try:
                await bench.ask(text, limited(tokens=limit))
            except BudgetExceeded:
                used_at_refusal.append((await bench.used()).tokens)
                return False
            return True

        answered = await asyncio.gather(*(one(text) for text in texts))
        used = (await bench.used()).tokens
        assert used == sum(usage.total for usage in vendor.billed) <= limit
        assert sum(answered) > 5
        least = bound(texts[0], min(LEAST_OUTPUT, OUTPUT))
        assert all(spent + least > limit for spent in used_at_refusal)
        assert used + least > limit
        assert await bench.held() == Amount()


async def test_every_scope_counts_and_the_tightest_decides(tmp_path: Path) -> None:
    """A call is booked in all its scopes, or, where one refuses, in none."""
    user = ScopeRef("user", "ada", "day", 1_750_000_000_000)
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(usage=bills_exactly))]) as bench:
        both = (limited(tokens=10 * bound("a")), limited(tokens=bound("a"), scope=user))
        await bench.ask("a", *both)
        with pytest.raises(BudgetExceeded, match="user ada of this day"):
            await bench.ask("b", *both)
        assert (await bench.used()).tokens == (await bench.used(user)).tokens == bound("a")


@pytest.mark.requirement("S.cost.per-request")
async def test_a_request_over_its_own_limit_is_refused(tmp_path: Path) -> None:
    """The default of ten cents bounds one model call, whatever the task may still spend."""
    request = ScopeRef("request", "key-1")
    dear = msgspec.structs.replace(MODEL, rates=msgspec.structs.replace(RATES, completion=10**9))
    vendor = VendorStub()
    async with gate_over(tmp_path, [Serving(dear, vendor)]) as bench:
        with pytest.raises(BudgetExceeded, match=r"request key-1 has \$0\.10 left"):
            await bench.ask("a", limited(pico=10**14), limited(pico=10**11, scope=request))
    assert not vendor.requests


@pytest.mark.requirement("S.cost.per-day")
async def test_a_new_day_is_a_new_window(tmp_path: Path) -> None:
    """What was used yesterday does not count today."""
    days = [ScopeRef("user", "ada", "day", start * 86_400_000) for start in (20_000, 20_001)]
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(usage=bills_exactly))]) as bench:
        await bench.ask("a", limited(tokens=bound("a"), scope=days[0]))
        with pytest.raises(BudgetExceeded):
            await bench.ask("b", limited(tokens=bound("a"), scope=days[0]))
        await bench.ask("b", limited(tokens=bound("a"), scope=days[1]))


async def test_max_output_is_lowered_to_what_fits(tmp_path: Path) -> None:
    """Never below 256 tokens; the answer says so, is not cached, and asks the vendor for no more than was held."""
    vendor = VendorStub(usage=bills_exactly)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        room = bound("a", 400)
        answer = await bench.ask("a", limited(tokens=room), max_output=1000, cache=True)
        assert (answer.lowered, vendor.requests[0].max_output) == (400, 400)
        assert (await bench.used()).tokens == room
        assert (await bench.ask("a", limited(), max_output=1000, cache=True)).cached == ""
        with pytest.raises(BudgetExceeded):
            await bench.ask("b", limited(tokens=bound("b", 255), scope=ScopeRef("task", "t2")), max_output=1000)


async def test_an_overrun_is_booked_in_full_marked_and_closes_what_it_broke(tmp_path: Path) -> None:
    """A vendor that reports above the bound is a defect, never hidden; the broken scope takes no more calls."""

    def bills_more(model: ModelInfo, request: ModelRequest) -> Usage:
        return Usage(prompt_bound(request, model.overhead_tokens), request.max_output + 50)

    session = ScopeRef("session", "s1")
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(usage=bills_more))]) as bench:
        answer = await bench.ask("a", limited(tokens=bound("a")), limited(tokens=10**6, scope=session))
        assert answer.overrun
        assert (await bench.used()).tokens == bound("a") + 50
        with pytest.raises(BudgetExceeded):
            await bench.ask("b", limited(tokens=10**6))
        await bench.ask("b", limited(tokens=10**6, scope=session))


async def test_an_answer_without_usage_is_lost_in_full(tmp_path: Path) -> None:
    """An estimate is shown and marked, the whole hold is counted."""
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(usage=bills_silently))]) as bench:
        answer = await bench.ask("a")
        assert (answer.estimated, answer.cost_pico, answer.lost_tokens) == (True, 0, bound("a"))
        assert answer.usage.total > 0
        assert (await bench.used()).tokens == bound("a") == (await bench.lost()).tokens


async def test_an_error_status_before_any_content_costs_nothing(tmp_path: Path) -> None:
    """A reset whose fate is not known counts in full; the answer of the retry says what was lost on its way."""
    status = VendorUnavailable("no", details={"status": 500})
    reset = VendorUnavailable("reset")
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(errors=[status, reset]))]) as bench:
        answer = await bench.ask("a")
        assert [(one.code, one.billed) for one in answer.fallbacks] == [
            ("VENDOR_UNAVAILABLE", False),
            ("VENDOR_UNAVAILABLE", True),
        ]
        assert (answer.lost_tokens, answer.lost_pico) == (bound("a"), price("a"))
        assert await bench.lost() == Amount(bound("a"), price("a"))
        assert await bench.used() == Amount(15, answer.cost_pico) + Amount(bound("a"), price("a"))


async def test_a_cancelled_call_closes_the_vendor_and_is_lost(tmp_path: Path) -> None:
    """It may have been billed."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        asked.set()
        await never.wait()

    vendor = VendorStub(before=before)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        task = asyncio.create_task(bench.ask("a"))
        await asked.wait()
        assert (await bench.held()).tokens == bound("a")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert vendor.closed == 1
        assert await bench.gate.recover(TENANT) == 0
        assert await bench.held() == Amount()
        assert (await bench.lost()).tokens == bound("a")


async def test_calls_cancelled_at_any_moment_leave_no_hold(tmp_path: Path) -> None:
    """However many turns of the event loop a call got, its reservation is settled or lost, once."""
    vendor = VendorStub(usage=bills_exactly)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        for turns in range(40):
            task = asyncio.create_task(bench.ask(f"question {turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await bench.ask("last")
        await bench.gate.close()
        assert await bench.storage.writer.commit(LoseOpen(tenant=TENANT)) == (0,)
        assert await bench.held() == Amount()
        assert (await bench.used()).tokens >= sum(usage.total for usage in vendor.billed)


async def test_a_reservation_that_a_dead_process_left_is_lost_when_its_key_is_retried(tmp_path: Path) -> None:
    """The retry reserves anew under the next attempt number; the dead one's late bill replaces its loss, once."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        if number == 1:
            asked.set()
            await never.wait()

    vendor = VendorStub(before=before)
    async with gate_over(tmp_path, [Serving(MODEL, vendor)], owner="second") as bench:
        call = msgspec.structs.replace(calls(bench.clock, limited(tokens=10**6)), cache=False)
        gates = bench.gate
        dead = asyncio.create_task(gates.complete(asks("a"), call))
        await asked.wait()
        gates._open.clear()  # as in a new process
        answer = await gates.complete(asks("a"), call)
        assert (await bench.used()).tokens == answer.usage.total + bound("a")
        assert await bench.held() == Amount()
        dead.cancel()
        with suppress(asyncio.CancelledError, KeyError):
            await dead


async def test_reported_tokens_of_a_prefix_tighten_the_next_bound(tmp_path: Path) -> None:
    """A conversation's second turn is bounded by what its first was reported to use, plus the bytes of what is new."""
    from multiagent.core.messages import says

    vendor = VendorStub(usage=lambda model, request: Usage(20, 7))
    async with gate_over(tmp_path, [Serving(MODEL, vendor)]) as bench:
        first = ModelRequest((says("user", "x" * 2000),), max_output=OUTPUT)
        await bench.gate.complete(first, calls(bench.clock))
        longer = msgspec.structs.replace(first, messages=(*first.messages, says("assistant", "y"), says("user", "z")))
        needed = 20 + 2 * (16 + 1) + MODEL.overhead_tokens + OUTPUT
        used = (await bench.used()).tokens
        with pytest.raises(BudgetExceeded):
            await bench.gate.complete(
                msgspec.structs.replace(longer, max_output=256),
                calls(bench.clock, limited(tokens=used + needed - OUTPUT + 255)),
            )
        answer = await bench.gate.complete(longer, calls(bench.clock, limited(tokens=used + needed)))
        assert answer.lowered == 0
        assert all(later.max_output == OUTPUT for _, later in pairwise(vendor.requests))
