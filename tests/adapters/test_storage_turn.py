"""Of several processes that do the same work on one PostgreSQL database, one has its turn, and any of them may die."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from multiagent.storage.factory import open_turn
from multiagent.storage.sql.base import Turn
from multiagent.storage.sql.postgres import turn as module
from multiagent.storage.sql.postgres.pool import connect
from multiagent.storage.sql.postgres.turn import PostgresTurn

DEADLINE_S = 60


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    monkeypatch.setattr(module, "LEASE_S", 1)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def holders(turns: list[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.mine()]


async def test_one_of_many_has_its_turn_and_the_next_has_it_when_that_one_ends(
    postgres: str, stack: AsyncExitStack
) -> None:
    entered = [AsyncExitStack() for _ in range(4)]
    turns = [await one.enter_async_context(open_turn(postgres, "work")) for one in entered]
    for left in range(4, 0, -1):
        await until(lambda: bool(holders(turns)))
        (holder,) = holders(turns)
        assert len(turns) == left
        place = turns.index(holder)
        await entered.pop(place).aclose()
        turns.pop(place)


async def test_works_of_other_names_have_turns_of_their_own(postgres: str, stack: AsyncExitStack) -> None:
    turns = [await stack.enter_async_context(open_turn(postgres, name)) for name in ("one", "other")]
    await until(lambda: len(holders(turns)) == 2)


async def test_one_whose_session_dies_has_lost_its_turn_and_another_has_it(
    postgres: str, stack: AsyncExitStack
) -> None:
    first = await stack.enter_async_context(open_turn(postgres, "work"))
    await until(first.mine)
    second = await stack.enter_async_context(open_turn(postgres, "work"))
    admin = await connect(postgres)
    await admin.execute(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    )
    await admin.close()
    await until(lambda: not first.mine() or second.mine())
    await until(lambda: bool(holders([first, second])))
    assert len(holders([first, second])) == 1


async def test_one_that_stands_still_loses_its_turn(postgres: str, stack: AsyncExitStack) -> None:
    """Its process is stopped: it renews nothing, and the database ends its session."""
    still = PostgresTurn(postgres, "work")
    assert await still.ask()
    other = await stack.enter_async_context(open_turn(postgres, "work"))
    await until(other.mine)
    await still.close()


async def test_while_the_database_is_away_it_is_nobodys_turn(
    postgres: str, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = postgres.rpartition("@")[0] + "@127.0.0.1:1/nowhere"
    turn = await stack.enter_async_context(open_turn(nowhere, "work"))
    await until(lambda: "is not known" in caplog.text)
    assert not turn.mine()


async def test_without_a_server_the_process_is_the_only_one(stack: AsyncExitStack) -> None:
    assert (await stack.enter_async_context(open_turn("", "work"))).mine()
