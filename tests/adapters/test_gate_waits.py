"""Waiting for a budget at the gate: in order, fairly, and no longer than there is time."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from multiagent.core.budget import PASSES, Amount
from multiagent.core.errors import BudgetBusy
from multiagent.core.usage import Usage
from multiagent.llm.base import ModelInfo, ModelRequest
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_endpoints import Serving
from multiagent.testing.clock import ManualClock
from multiagent.testing.suites.llm import asks, limited
from multiagent.testing.vendor_stub import VendorStub, stub_model
from tests.adapters.gate_bench import Bench, gate_over

MODEL = stub_model()
OUTPUT = 300


def bound(text: str, output: int = OUTPUT) -> int:
    return prompt_bound(asks(text), MODEL.overhead_tokens) + output


async def test_a_call_waits_for_holds_and_goes_on_when_they_end(tmp_path: Path) -> None:
    """The second call is not refused while the first one may still use less than it holds."""
    first_asked, go_on = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        if number == 1:
            first_asked.set()
            await go_on.wait()

    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(before=before))]) as bench:
        limit = limited(tokens=bound("a") + 100)
        first = asyncio.create_task(bench.ask("a", limit))
        await first_asked.wait()
        second = asyncio.create_task(bench.ask("b", limit))
        await _waiting(bench, 1)
        assert not second.done()
        go_on.set()
        assert (await first).lowered == (await second).lowered == 0


async def _waiting(bench: Bench, number: int) -> None:
    async with asyncio.timeout(10):
        while len(bench.gate._budgets._line.tickets) != number:  # noqa: ASYNC110 - the line has no event of its own
            await asyncio.sleep(0)


async def test_a_wait_that_reaches_its_end_is_busy_not_exceeded(tmp_path: Path) -> None:
    """The caller may try again: the budget itself is not used up."""
    never = asyncio.Event()
    asked = asyncio.Event()

    async def before(number: int) -> None:
        asked.set()
        await never.wait()

    clock = ManualClock()
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(before=before))], clock=clock) as bench:
        limit = limited(tokens=bound("a") + 100)
        first = asyncio.create_task(bench.ask("a", limit))
        await asked.wait()
        second = asyncio.create_task(bench.ask("b", limit, within_s=30))
        await _waiting(bench, 1)
        while not second.done():
            clock.advance(1)
            await asyncio.sleep(0)
        with pytest.raises(BudgetBusy):
            await second
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first


async def test_at_the_end_of_its_wait_a_call_is_lowered_beside_the_holds(tmp_path: Path) -> None:
    """Better a shorter answer in time than none."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        if number == 1:
            asked.set()
            await never.wait()

    clock = ManualClock()
    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(before=before))], clock=clock) as bench:
        limit = limited(tokens=bound("a") + bound("b", 270))
        first = asyncio.create_task(bench.ask("a", limit))
        await asked.wait()
        second = asyncio.create_task(bench.ask("b", limit, within_s=30))
        await _waiting(bench, 1)
        while not second.done():
            clock.advance(1)
            await asyncio.sleep(0)
        assert (await second).lowered == 270
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first


async def test_a_large_need_is_passed_at_most_eight_times(tmp_path: Path) -> None:
    """Small calls that fit may pass one that waits, then they wait behind it."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def before(number: int) -> None:
        if number == 1:
            asked.set()
            await go_on.wait()

    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(before=before))]) as bench:
        limit = limited(tokens=2 * bound("first") + 400)

        async def one(text: str, output: int) -> None:
            await bench.ask(text, limit, max_output=output)
            order.append(text)

        first = asyncio.create_task(one("first", OUTPUT))
        await asked.wait()
        large = asyncio.create_task(one("large", OUTPUT + 500))
        await _waiting(bench, 1)
        for number in range(PASSES):
            await one(f"small{number}", 1)
        late = [asyncio.create_task(one(f"late{number}", 1)) for number in range(5)]
        await _waiting(bench, 6)
        go_on.set()
        await asyncio.gather(first, large, *late)
        assert [text for text in order if text.startswith("small")] == [f"small{number}" for number in range(PASSES)]
        assert order.index("large") < min(order.index(f"late{number}") for number in range(5))


async def test_a_cancelled_wait_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither a place in the line nor a hold."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        if number == 1:
            asked.set()
            await go_on.wait()

    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(before=before))]) as bench:
        limit = limited(tokens=bound("a") + 100)
        first = asyncio.create_task(bench.ask("a", limit))
        await asked.wait()
        second = asyncio.create_task(bench.ask("b", limit))
        await _waiting(bench, 1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert not bench.gate._budgets._line.tickets
        go_on.set()
        await first
        assert await bench.held() == Amount()


async def test_one_that_is_lowered_as_it_waits_keeps_its_place(tmp_path: Path) -> None:
    """When what it waited for turns out too big, it goes on with what fits, ahead of those who came later."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def before(number: int) -> None:
        if number == 1:
            asked.set()
            await go_on.wait()

    def first_bills_all(model: ModelInfo, request: ModelRequest) -> Usage:
        return Usage(bound("first", 0), OUTPUT) if request.messages[1].text == "first" else Usage(1, 1)

    async with gate_over(tmp_path, [Serving(MODEL, VendorStub(before=before, usage=first_bills_all))]) as bench:
        limit = limited(tokens=bound("first") + bound("second", 500))

        async def one(text: str, output: int) -> int:
            answer = await bench.ask(text, limit, max_output=output)
            order.append(text)
            return answer.lowered

        first = asyncio.create_task(one("first", OUTPUT))
        await asked.wait()
        second = asyncio.create_task(one("second", OUTPUT + 300))
        await _waiting(bench, 1)
        third = asyncio.create_task(one("third", OUTPUT + 290))
        await _waiting(bench, 2)
        go_on.set()
        assert tuple(await asyncio.gather(first, second, third)) == (0, 500, 499)
        assert order == ["first", "second", "third"]
