"""Temporal keeps schedules as every engine does, on a real server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from multiagent.core.errors import EngineError, NotFound
from multiagent.engines.schedules.book import found
from multiagent.engines.schedules.ticking import TENANT as CLOCKS
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.looks import name_of
from multiagent.storage.sql.schedules import DropSchedule
from multiagent.testing.replayed import Register
from multiagent.testing.scheduling import TENANT, after, every, made, open_board
from multiagent.testing.scheduling_temporal import TemporalBoard, open_temporal_board
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.suites.schedules import ScheduleHands, ScheduleOverlaps, ScheduleTimes


@pytest.fixture
async def board(tmp_path: Path, register: Register, temporal_server: TemporalServer) -> AsyncIterator[TemporalBoard]:
    async with open_temporal_board(tmp_path, register, temporal_server) as opened:
        yield opened


class TestTimes(ScheduleTimes):
    pass


class TestOverlaps(ScheduleOverlaps):
    pass


class TestHands(ScheduleHands):
    pass


def server_side(board: TemporalBoard) -> tuple[Link, str]:
    """The way to the server, and the schedule's id there."""
    link = Link(board.options, board.objects)
    return link, name_of(link, TENANT, "often")


async def is_there(board: TemporalBoard) -> bool:
    link, name = server_side(board)
    try:
        await link.call("a schedule", lambda client: client.get_schedule_handle(name).describe())
    except NotFound:
        return False
    except EngineError:  # it is on its way out
        return True
    return True


async def test_the_server_is_told_when_to_look_and_nothing_of_what_is_asked(board: TemporalBoard) -> None:
    cron = replace(every(board, query="what nobody may read"), every_s=0, cron="30 2 * * *", zone="Europe/Berlin")
    await board.schedules.create(TENANT, cron, "c1")
    await board.schedules.pause(TENANT, "often", "a note that nobody may read")
    link, name = server_side(board)
    told = await link.call("a schedule", lambda client: client.get_schedule_handle(name).describe())
    raw = told.raw_description.SerializeToString()
    assert b"nobody may read" not in raw
    assert told.schedule.state.paused
    assert told.schedule.spec.time_zone_name == "Europe/Berlin"
    (payload,) = told.raw_description.schedule.action.start_workflow.input.payloads
    assert b"often" not in payload.data


async def test_a_schedule_that_the_server_has_lost_is_told_to_it_again(board: TemporalBoard) -> None:
    await board.schedules.create(TENANT, every(board), "c1")
    link, name = server_side(board)
    await link.call("its loss", lambda client: client.get_schedule_handle(name).delete())
    assert not await is_there(board)
    await board.schedules.settle()
    assert await is_there(board)
    assert await after(board, 1)


async def test_a_schedule_that_is_kept_no_more_is_forgotten_by_the_server_at_its_next_look(
    board: TemporalBoard,
) -> None:
    await board.schedules.create(TENANT, every(board), "c1")
    await board.writer.commit(DropSchedule(tenant=TENANT, id="often"))

    async def forgotten() -> bool:
        return not await is_there(board)

    await board.until(forgotten)


async def test_a_schedule_moves_from_one_engine_to_the_other_and_back(
    tmp_path: Path, register: Register, temporal_server: TemporalServer
) -> None:
    async with open_board(tmp_path, register) as embedded:
        await embedded.schedules.create(TENANT, every(embedded, overlap="skip"), "c1")
        (first, *_) = await after(embedded, 1)
        await embedded.end(first.task)
        await embedded.schedules.update(TENANT, replace(every(embedded, overlap="skip"), every_s=2))
    async with open_temporal_board(tmp_path, register, temporal_server) as board:
        before = len(await made(board))
        assert len(await after(board, before + 1)) > before
        assert [row.status for row in await board.reader.tasks(CLOCKS)] == ["cancelled"]
        there = await found(board.reader, TENANT, "often")
        assert there is not None
        assert there.state.clock == ""
        for run in await made(board, under_way=True):
            await board.end(run.task)
        await board.schedules.pause(TENANT, "often", "")
    async with open_board(tmp_path, register) as embedded:
        embedded.clock.advance(datetime.now(UTC).timestamp() - embedded.now() / 1000)
        before = len(await made(embedded))
        await embedded.schedules.unpause(TENANT, "often", "")
        assert len(await after(embedded, before + 1)) > before
