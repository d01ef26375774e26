"""What is held past its deadline counts as lost, whoever held it; a late settle still replaces it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.app.system import SystemIds
from multiagent.core.budget import Amount, Limit, ScopeLimit, ScopeRef
from multiagent.core.errors import StorageUnavailable
from multiagent.llm.overdue import GRACE_MS, LOOK_S, lose_overdue, watch_overdue
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.sql.ops import Reserve, Settle, Settled
from multiagent.testing.clock import ManualClock

SCOPE = ScopeRef("task", "t")
LATE = GRACE_MS / 1000 + 2


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(tmp_path, clock=ManualClock(), ids=SystemIds(), synchronous="NORMAL") as storage:
        yield storage


async def hold(storage: Storage, clock: ManualClock, *names: str) -> None:
    """Hold ten tokens under each name, for a second."""
    for name in names:
        await storage.writer.commit(
            Reserve(
                tenant="local", id=name, key=name, attempt=1, task="t", scopes=(ScopeLimit(SCOPE, Limit(9000, None)),),
                need=Amount(10), time=clock.now(), deadline=clock.now() + 1000, owner="gone",
            )
        )  # fmt: skip


async def booked(storage: Storage) -> tuple[Amount, Amount]:
    state = await storage.reader.scope("local", SCOPE)
    assert state is not None
    return state.used, state.held


async def test_it_counts_in_full_once_its_deadline_is_long_past(storage: Storage) -> None:
    clock = ManualClock()
    await hold(storage, clock, "r1", "r2")
    clock.advance(LATE - 2)
    assert await lose_overdue(storage.writer, storage.reader, clock) == 0
    await hold(storage, clock, "r3")
    clock.advance(2)
    assert await lose_overdue(storage.writer, storage.reader, clock) == 2
    assert await booked(storage) == (Amount(20), Amount(10))
    late = Settle(tenant="local", reservation="r1", billed=Amount(3), time=clock.now())
    assert await storage.writer.commit(late) == (Settled(changed=True),)
    assert await booked(storage) == (Amount(13), Amount(10))


async def test_more_than_one_look_shows_are_all_lost(storage: Storage) -> None:
    clock = ManualClock()
    await hold(storage, clock, *(f"r{number:03}" for number in range(101)))
    clock.advance(LATE)
    assert await lose_overdue(storage.writer, storage.reader, clock) == 101


async def test_it_looks_again_and_again_also_after_storage_was_away(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, real, away = ManualClock(), storage.reader.overdue, True

    async def overdue(time: int, limit: int = 100) -> tuple[tuple[str, str], ...]:
        if away:
            raise StorageUnavailable("away")
        return await real(time, limit)

    monkeypatch.setattr(storage.reader, "overdue", overdue)
    watching = asyncio.create_task(watch_overdue(storage.writer, storage.reader, clock))
    try:
        async with asyncio.timeout(30):
            while not clock.sleepers:  # noqa: ASYNC110 - the clock has no event
                await asyncio.sleep(0)
            assert "looked for later" in caplog.text
            away = False
            await hold(storage, clock, "r1")
            clock.advance(LATE + LOOK_S)
            while (await booked(storage))[1] != Amount():  # noqa: ASYNC110 - storage has no event
                await asyncio.sleep(0)
    finally:
        watching.cancel()
