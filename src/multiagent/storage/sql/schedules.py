"""Schedules in storage: what is kept of each, under a revision that every change has to know."""

import msgspec

from multiagent.core.task import TaskStatus
from multiagent.storage.sql.ops import Op


class PutSchedule(Op, frozen=True, kw_only=True):
    """Keep a schedule and what stands decided of it, both JSON, where its revision is still ``was`` (0: there is none
    of its name). Answer: True where it was; its revision is one higher then.
    """

    id: str
    definition: bytes
    state: bytes
    was: int
    time: int


class DropSchedule(Op, frozen=True, kw_only=True):
    """Forget a schedule. Answer: True where there was one."""

    id: str


class ScheduleRow(msgspec.Struct, frozen=True):
    """One row of ``schedules``. Times are ms UTC."""

    tenant: str
    id: str
    definition: bytes
    state: bytes
    revision: int
    created: int
    updated: int


class KeyedTask(msgspec.Struct, frozen=True):
    """A task by its idempotency key, and what it has come to."""

    key: str
    id: str
    status: TaskStatus
    cost_pico: int
    tokens: int
