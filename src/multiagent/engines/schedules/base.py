"""The port of schedules: what is asked of them, whichever engine keeps their time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from multiagent.core.schedule import Schedule, Span, State
from multiagent.core.task import TaskStatus
from multiagent.engines.base import Engine, Step, Workflow


class ScheduledRun(msgspec.Struct, frozen=True):
    """A run of a schedule: the time it was planned for, its task, and how that stands."""

    planned: int
    task: str
    status: TaskStatus
    cost_pico: int
    tokens: int


class Shown(msgspec.Struct, frozen=True):
    """A schedule, what stands decided of it, its next times, its newest runs."""

    schedule: Schedule
    state: State
    created: int
    updated: int
    upcoming: tuple[int, ...]
    runs: tuple[ScheduledRun, ...]


Fire = Callable[[str, Schedule, int], Awaitable[str]]
"""Accepts the task of a schedule's run (tenant, schedule, planned time) and returns its id: the same run is the same
task. A PlatformError that is not retryable means that this run cannot be accepted.
"""

Stop = Callable[[str, str, str], Awaitable[None]]
"""Asks for the end of a task (tenant, task, reason)."""


class Schedules(Protocol):
    """Keeps schedules and runs their tasks when their times come. Everything may be asked again by the same ``id``.

    A run of a schedule is an ordinary task, accepted once, whatever is killed. NotFound for an unknown schedule.
    """

    async def create(self, tenant: str, schedule: Schedule, id: str) -> None:  # noqa: A002 - its command
        """Keep a schedule. InvalidInput where its name is taken, or it cannot be run."""
        ...

    async def update(self, tenant: str, schedule: Schedule) -> None:
        """Put a schedule in the place of the one of its name; what runs goes on. Its times count from now on."""
        ...

    async def pause(self, tenant: str, schedule: str, note: str) -> None:
        """Run none of its times from now on; they are not caught up later. What runs goes on."""
        ...

    async def unpause(self, tenant: str, schedule: str, note: str) -> None:
        """Go on with the times that come from now on."""
        ...

    async def trigger(self, tenant: str, schedule: str, time: int) -> None:
        """Run it now, under its overlap policy, paused or not; ``time`` names the run."""
        ...

    async def backfill(self, tenant: str, schedule: str, span: Span) -> None:
        """Run the times of a span after all, one after another; those that were run are not run again.

        InvalidInput where there are none, too many, or some that have not come yet.
        """
        ...

    async def delete(self, tenant: str, schedule: str) -> None:
        """Forget a schedule; its runs go on and stay."""
        ...

    async def settle(self) -> None:
        """See to it that the time of every schedule is kept, after a start of this process."""
        ...


class SchedulesHere(Schedules, Protocol):
    """Schedules whose time an engine in this process keeps, by a workflow and steps of their own."""

    @property
    def workflows(self) -> Sequence[Workflow[Any, Any]]:
        """What the engine has to know of."""
        ...

    @property
    def steps(self) -> Sequence[Step[Any, Any]]:
        """What this process does for it."""
        ...

    def attach(self, engine: Engine, fire: Fire, stop: Stop) -> None:
        """Say what keeps time, what accepts runs and what asks for their ends; before anything else."""
        ...

    async def run(self) -> None:
        """Tell schedules of the ends of their runs, until cancelled."""
        ...
