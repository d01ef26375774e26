"""What every key-value store must do.

A test class of an adapter inherits from ``KeyValueSuite`` and provides the fixture ``kv``.
"""

from dataclasses import dataclass

from multiagent.storage.kv.base import KeyValue
from multiagent.testing.clock import ManualClock


@dataclass(frozen=True, slots=True)
class Kv:
    """A store that holds ``most`` keys, on a clock that is moved by hand."""

    store: KeyValue
    clock: ManualClock
    most: int


class KeyValueSuite:
    """Short-lived keys."""

    async def test_a_value_lives_as_long_as_it_was_told(self, kv: Kv) -> None:
        await kv.store.put("k", b"1", 10)
        kv.clock.advance(9.9)
        assert await kv.store.get("k") == b"1"
        kv.clock.advance(0.1)
        assert await kv.store.get("k") is None

    async def test_a_new_value_replaces_the_old_with_its_own_time(self, kv: Kv) -> None:
        await kv.store.put("k", b"1", 10)
        kv.clock.advance(5)
        await kv.store.put("k", b"2", 10)
        kv.clock.advance(9)
        assert await kv.store.get("k") == b"2"

    async def test_a_deleted_key_is_gone(self, kv: Kv) -> None:
        await kv.store.put("k", b"1", 10)
        await kv.store.delete("k")
        await kv.store.delete("k")
        assert await kv.store.get("k") is None

    async def test_a_counter_starts_at_nothing_and_lives_from_its_first_use(self, kv: Kv) -> None:
        assert await kv.store.add("n", 2, 10) == 2
        kv.clock.advance(6)
        assert await kv.store.add("n", 3, 10) == 5
        assert await kv.store.get("n") == b"5"
        kv.clock.advance(4)
        assert await kv.store.add("n", -1, 10) == -1

    async def test_the_least_recently_used_make_room(self, kv: Kv) -> None:
        for number in range(kv.most):
            await kv.store.put(f"k{number}", b"1", 10)
        assert await kv.store.get("k0") == b"1"
        await kv.store.put("one more", b"1", 10)
        assert await kv.store.get("k1") is None
        assert await kv.store.get("k0") == await kv.store.get("one more") == b"1"

    async def test_the_dead_make_room_before_the_living(self, kv: Kv) -> None:
        await kv.store.put("old", b"1", 100)
        for number in range(kv.most - 1):
            await kv.store.put(f"k{number}", b"1", 10)
        kv.clock.advance(10)
        for number in range(kv.most - 1):
            await kv.store.put(f"n{number}", b"1", 10)
        assert await kv.store.get("old") == b"1"
