"""Temporal keeps schedules as every engine does, on a real server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.testing.replayed import Register
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
