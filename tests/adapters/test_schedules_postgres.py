"""The embedded engine keeps schedules also where its storage is PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.testing.replayed import Register
from multiagent.testing.scheduling import EmbeddedBoard, open_board
from multiagent.testing.suites.schedules import ScheduleHands, ScheduleOverlaps, ScheduleTimes


@pytest.fixture
async def board(tmp_path: Path, register: Register, postgres: str) -> AsyncIterator[EmbeddedBoard]:
    async with open_board(tmp_path, register, postgres) as opened:
        yield opened


class TestTimes(ScheduleTimes):
    pass


class TestOverlaps(ScheduleOverlaps):
    pass


class TestHands(ScheduleHands):
    pass
