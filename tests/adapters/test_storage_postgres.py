"""The suites of relational storage over PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.storage.factory import open_sequencer, open_storage
from multiagent.testing.clock import ManualClock
from multiagent.testing.ids import CountedIds
from multiagent.testing.suites.sql import EventSuite, Sql, TaskSuite
from multiagent.testing.suites.sql_budgets import BudgetSuite
from multiagent.testing.suites.sql_control import ControlSuite
from multiagent.testing.suites.sql_keeping import RetentionSuite, SessionSuite
from multiagent.testing.suites.sql_schedules import ScheduleSuite
from multiagent.testing.suites.sql_steps import CallSuite, StepSuite
from multiagent.testing.suites.sql_travel import TravelSuite


@pytest.mark.requirement("S.data.postgres")
class TestPostgres(
    TaskSuite,
    EventSuite,
    StepSuite,
    CallSuite,
    ControlSuite,
    BudgetSuite,
    SessionSuite,
    RetentionSuite,
    TravelSuite,
    ScheduleSuite,
):
    @pytest.fixture
    async def sql(self, tmp_path: Path, postgres: str) -> AsyncIterator[Sql]:
        async with (
            open_storage(tmp_path, clock=ManualClock(), ids=CountedIds(), url=postgres) as storage,
            open_sequencer(postgres),
        ):
            yield Sql(storage.writer, storage.reader)
