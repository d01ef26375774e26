"""One queue of times, on a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiagent.engines.timers import TimerQueue
from multiagent.testing.clock import ManualClock


async def settle() -> None:
    """Let the queue's task run."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timers(clock: ManualClock) -> AsyncIterator[TimerQueue]:
    queue = TimerQueue(clock)
    yield queue
    await queue.close()


async def test_calls_come_in_the_order_of_their_times(clock: ManualClock, timers: TimerQueue) -> None:
    called: list[str] = []
    timers.after(3, lambda: called.append("three"))
    timers.after(1, lambda: called.append("one"))
    timers.after(1, lambda: called.append("one, later"))
    timers.at(clock.now() + 2000, lambda: called.append("two"))
    await settle()
    clock.advance(2)
    await settle()
    assert called == ["one", "one, later", "two"]
    clock.advance(1)
    await settle()
    assert called[-1] == "three"


async def test_an_earlier_time_wakes_the_sleeper_earlier(clock: ManualClock, timers: TimerQueue) -> None:
    called: list[int] = []
    timers.after(100, lambda: called.append(100))
    await settle()
    timers.after(1, lambda: called.append(1))
    await settle()
    clock.advance(1)
    await settle()
    assert called == [1]


async def test_a_cancelled_call_never_comes(clock: ManualClock, timers: TimerQueue) -> None:
    called: list[int] = []
    entries = [timers.after(1, lambda at=at: called.append(at)) for at in range(600)]  # type: ignore[misc]
    for entry in entries[1:]:
        entry.cancel()
        entry.cancel()
    await settle()
    clock.advance(2)
    await settle()
    assert called == [0]
    assert len(timers._heap) == 0


async def test_a_call_may_ask_for_another(clock: ManualClock, timers: TimerQueue) -> None:
    called: list[int] = []

    def again() -> None:
        timers.after(1, lambda: called.append(2))

    timers.after(1, again)
    await settle()
    clock.advance(1)
    await settle()
    clock.advance(1)
    await settle()
    assert called == [2]


async def test_a_time_in_the_past_is_due_at_once(clock: ManualClock, timers: TimerQueue) -> None:
    called: list[int] = []
    timers.at(clock.now() - 5000, lambda: called.append(1))
    await settle()
    assert called == [1]


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=30), st.lists(st.integers(1, 7), max_size=10))
@settings(deadline=None, max_examples=60)
def test_whatever_is_due_and_not_cancelled_has_been_called_in_order(
    asked: list[tuple[int, bool]], advances: list[int]
) -> None:
    async def run() -> None:
        clock = ManualClock()
        queue = TimerQueue(clock)
        called: list[tuple[int, int]] = []
        entries = [
            (after, cancel, queue.after(after, lambda item=(after, order): called.append(item)))  # type: ignore[misc]
            for order, (after, cancel) in enumerate(asked)
        ]
        for _, cancel, entry in entries:
            if cancel:
                entry.cancel()
        passed = 0
        for seconds in advances:
            await settle()
            clock.advance(seconds)
            passed += seconds
        await settle()
        due = sorted((after, order) for order, (after, cancel) in enumerate(asked) if not cancel and after <= passed)
        assert called == due
        await queue.close()

    asyncio.run(run())
