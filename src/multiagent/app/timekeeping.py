"""The owner's side of schedules: what keeps their time while the platform is open."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from multiagent.app.ask import Ask
from multiagent.app.lifecycle import background
from multiagent.app.roles import Crew
from multiagent.app.snapshot import task_settings
from multiagent.config.settings import Settings
from multiagent.core.schedule import Schedule
from multiagent.core.settings import TaskSettings
from multiagent.engines.base import Engine
from multiagent.engines.schedules.base import SchedulesHere
from multiagent.engines.schedules.book import all_kept
from multiagent.engines.schedules.ticking import TENANT as CLOCKS
from multiagent.engines.schedules.times import upcoming
from multiagent.orchestrator.schedules import Runs
from multiagent.orchestrator.service import Service
from multiagent.storage.sql.base import Reader, TaskRow


def run_settings(settings: Settings, policy_version: str) -> Callable[[Schedule], TaskSettings]:
    """Return what freezes the settings of a schedule's runs: those configured, with the schedule's own instead."""

    def freeze(schedule: Schedule) -> TaskSettings:
        own = schedule.overrides
        ask = Ask(
            schedule.query,
            tokens=own.tokens,
            pico=own.pico,
            tier=own.tier,
            max_agents=own.max_agents,
            strategy=own.strategy,
            require_approval=own.require_approval,
        )
        return task_settings(settings, ask, policy_version)

    return freeze


def accepting(members: Crew, service: Service, policy_version: str) -> Runs:
    """Return what accepts the runs of schedules in this process."""
    settings = members.settings
    return Runs(service, members.ids, run_settings(settings, policy_version), settings.budget.session_tokens)


@asynccontextmanager
async def keeping_time(schedules: SchedulesHere, engine: Engine, runs: Runs) -> AsyncIterator[None]:
    """Let an engine of this process keep the time of schedules during the block."""
    schedules.attach(engine, runs.fire, runs.stop)
    async with background(schedules.run()):
        yield


def people_s(rows: tuple[TaskRow, ...]) -> tuple[TaskRow, ...]:
    """Return the tasks among these: not the runs of the engine that keep the time of schedules."""
    return tuple(row for row in rows if row.tenant != CLOCKS)


async def expected(reader: Reader, now: int) -> bool:
    """Whether a schedule has times that are to come, or runs that are waited for."""
    for there in await all_kept(reader):
        state = there.state
        if state.firing or state.triggered or state.spans or state.buffered is not None:
            return True
        if upcoming(there.schedule, now, 1):
            return True
    return False
