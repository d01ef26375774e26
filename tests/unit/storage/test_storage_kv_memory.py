"""The in-memory store against a model, and that it stays bounded."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from multiagent.storage.kv.memory import MemoryKeyValue
from multiagent.testing.clock import ManualClock

_KEYS = st.sampled_from("abcdef")
_STEPS = st.lists(
    st.tuples(st.just("put"), _KEYS, st.integers(1, 9))
    | st.tuples(st.just("get"), _KEYS, st.just(0))
    | st.tuples(st.just("add"), _KEYS, st.integers(1, 9))
    | st.tuples(st.just("delete"), _KEYS, st.just(0))
    | st.tuples(st.just("wait"), st.just(""), st.integers(1, 5)),
    max_size=60,
)


@given(_STEPS)
def test_it_answers_as_an_unbounded_map_with_deadlines_does(steps: Sequence[tuple[str, str, int]]) -> None:
    asyncio.run(_against_a_map(steps))


async def _against_a_map(steps: Sequence[tuple[str, str, int]]) -> None:
    clock = ManualClock()
    store, model = MemoryKeyValue(clock, most=6), dict[str, tuple[float, int]]()
    for verb, key, number in steps:
        model = {name: kept for name, kept in model.items() if kept[0] > clock.monotonic()}
        if verb == "put":
            await store.put(key, str(number).encode(), number)
            model[key] = (clock.monotonic() + number, number)
        elif verb == "add":
            until, old = model.get(key, (clock.monotonic() + 4, 0))
            model[key] = (until, old + number)
            assert await store.add(key, number, 4) == old + number
        elif verb == "delete":
            await store.delete(key)
            model.pop(key, None)
        elif verb == "wait":
            clock.advance(number)
        else:
            assert await store.get(key) == (str(model[key][1]).encode() if key in model else None)


async def test_it_stays_bounded_however_often_keys_are_replaced() -> None:
    clock = ManualClock()
    store = MemoryKeyValue(clock, most=8)
    for number in range(1000):
        await store.put(f"k{number % 3}", b"1", 1000)
        await store.put(f"n{number}", b"1", 1000)
    assert len(store._kept) == 8
    assert len(store._ends) <= 16
