"""Steps run side by side; a suspect runs alone."""

import asyncio

import pytest

from multiagent.engines.turns import Turns


async def test_many_enter_side_by_side() -> None:
    turns = Turns()
    assert all(turns.try_enter() for _ in range(5))


async def test_a_suspect_waits_until_nobody_runs_and_newcomers_wait_for_it() -> None:
    turns = Turns()
    assert turns.try_enter()
    suspect = asyncio.create_task(turns.enter(alone=True))
    await asyncio.sleep(0)
    assert not turns.try_enter()
    newcomer = asyncio.create_task(turns.enter(alone=False))
    await asyncio.sleep(0)
    assert not suspect.done()
    turns.leave(alone=False)
    await suspect
    assert not newcomer.done()
    turns.leave(alone=True)
    await newcomer


async def test_two_suspects_run_one_after_the_other() -> None:
    turns = Turns()
    await turns.enter(alone=True)
    second = asyncio.create_task(turns.enter(alone=True))
    await asyncio.sleep(0)
    assert not second.done()
    turns.leave(alone=True)
    await second
    turns.leave(alone=True)
    assert turns.try_enter()


@pytest.mark.parametrize("alone", [True, False])
async def test_who_is_cancelled_while_it_waits_blocks_nobody(alone: bool) -> None:
    turns = Turns()
    await turns.enter(alone=True)
    waiting = asyncio.create_task(turns.enter(alone=alone))
    after = asyncio.create_task(turns.enter(alone=False))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    turns.leave(alone=True)
    await after


async def test_who_is_cancelled_at_its_turn_gives_it_back() -> None:
    turns = Turns()
    await turns.enter(alone=True)
    waiting = asyncio.create_task(turns.enter(alone=True))
    await asyncio.sleep(0)
    turns.leave(alone=True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert turns.try_enter()
