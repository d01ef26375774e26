"""The embedded engine keeps schedules as every engine does, on journaled timers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.engines.schedules.ticking import MOST_LOOKS
from multiagent.engines.schedules.ticking import TENANT as PLATFORM
from multiagent.testing.replayed import Register
from multiagent.testing.scheduling import TENANT, EmbeddedBoard, after, every, made, open_board
from multiagent.testing.suites.schedules import ScheduleHands, ScheduleOverlaps, ScheduleTimes


@pytest.fixture
async def board(tmp_path: Path, register: Register) -> AsyncIterator[EmbeddedBoard]:
    async with open_board(tmp_path, register) as opened:
        yield opened


class TestTimes(ScheduleTimes):
    pass


class TestOverlaps(ScheduleOverlaps):
    pass


class TestHands(ScheduleHands):
    pass


async def test_the_journal_that_keeps_a_schedules_time_stays_bounded(board: EmbeddedBoard) -> None:
    await board.schedules.create(TENANT, every(board, overlap="skip"), "c1")
    first = (await after(board, 1))[0]
    board.step = board.every // 2

    async def gone_on_twice() -> bool:
        rows = await board.reader.tasks(PLATFORM)
        return sorted(row.status for row in rows) == ["completed", "completed", "waiting"]

    await board.until(gone_on_twice)
    clocks = sorted((await board.reader.tasks(PLATFORM)), key=lambda row: row.id)
    lengths = [len(await board.engine.history(PLATFORM, row.id)) for row in clocks]
    assert lengths[0] == 0
    assert max(lengths) <= 3 * MOST_LOOKS
    board.engine.exclude(clocks[0].id, "pruned")
    assert len(await made(board)) == 1
    await board.end(first.task)
    assert len(await after(board, 2)) == 2


async def test_a_clock_that_has_come_to_an_end_is_replaced_at_the_next_start(board: EmbeddedBoard) -> None:
    await board.schedules.create(TENANT, every(board), "c1")
    before = await after(board, 1)
    (clock,) = await board.reader.tasks(PLATFORM)
    await board.engine.cancel(PLATFORM, clock.id, "by mistake")
    await board.engine.result(PLATFORM, clock.id)
    await board.away(1)
    assert await after(board, len(before) + 1)
    assert len(await board.reader.tasks(PLATFORM)) == 2
    await board.schedules.settle()
    await after(board, len(before) + 2)
    assert len(await board.reader.tasks(PLATFORM)) == 2
