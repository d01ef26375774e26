"""Schedules: tasks that are to be run at times, and what stands decided of each. Times are milliseconds UTC."""

import datetime as dt
import re
from typing import Final, Literal

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.plan import AskedStrategy
from multiagent.core.principal import Principal
from multiagent.core.tier import Tier

Overlap = Literal["skip", "buffer_one", "allow_all", "cancel_other"]
"""What becomes of a time that comes while a run of the same schedule is not at its end: nothing; it is run after that
one (one waits at the most); it is run beside it; that one is cancelled, and then it is run.
"""

OVERLAPS: Final[tuple[Overlap, ...]] = ("skip", "buffer_one", "allow_all", "cancel_other")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
CATCH_UP_S: Final = 3_600
LEAST_CATCH_UP_S: Final = 10
LONGEST_S: Final = 366 * 86_400
"""The longest interval and the longest catch-up window, in seconds."""
MOST_BACKFILL: Final = 1_000
"""The most times that one backfill may have."""
MOST_SPANS: Final = 100
"""The most backfills that may wait at once."""


class Overrides(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run has in the place of the configured settings (None keeps those); ``tokens`` and ``pico`` are the most
    that one run may use.
    """

    tokens: int | None = None
    pico: int | None = None
    tier: Tier | None = None
    max_agents: int | None = None
    strategy: AskedStrategy | None = None
    require_approval: bool = False


class Schedule(msgspec.Struct, frozen=True):
    """A query to be run at times: those of a ``cron`` line in a time zone, or every so many seconds counted from 1970.

    Only times after ``start`` and up to ``end`` count. A time that nobody was there for is run late if it is no older
    than ``catch_up_s``. Runs act for ``principal``, in ``session`` where there is one.
    """

    id: str
    query: str
    principal: Principal
    cron: str = ""
    every_s: int = 0
    zone: str = "UTC"
    overlap: Overlap = "skip"
    catch_up_s: int = CATCH_UP_S
    paused: bool = False
    note: str = ""
    start: int | None = None
    end: int | None = None
    session: str = ""
    overrides: Overrides = Overrides()


class Span(msgspec.Struct, frozen=True):
    """Times to be run after all: those after ``after`` and up to ``until``."""

    after: int
    until: int


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands decided of a schedule. Times up to ``seen`` have had their decision.

    ``firing`` are times whose tasks are to be accepted next; ``buffered`` one that waits for the end of what runs;
    ``triggered`` those asked for by hand; ``spans`` those to be run after all, one after another. ``clock`` is the
    run of the engine that keeps its time, ``before`` the one that did before it; ``error`` why the last run could not
    be accepted; ``made_by`` the command that made the schedule.
    """

    seen: int = 0
    firing: tuple[int, ...] = ()
    buffered: int | None = None
    triggered: tuple[int, ...] = ()
    spans: tuple[Span, ...] = ()
    clock: str = ""
    before: str = ""
    error: str = ""
    made_by: str = ""


def run_key(schedule: str, planned: int) -> str:
    """Return the idempotency key of a schedule's run at a time: the same run is the same task."""
    return f"{run_prefix(schedule)}{iso(planned)}"


def run_prefix(schedule: str) -> str:
    """Return what the idempotency keys of a schedule's runs begin with; they sort by their times."""
    return f"schedule/{schedule}/"


def planned_of(key: str) -> int:
    """Return the time that is in a run's idempotency key."""
    moment = dt.datetime.fromisoformat(key.rpartition("/")[2])
    return round(moment.timestamp() * 1000)


def iso(time: int) -> str:
    """Return a time as ISO 8601 in UTC, with milliseconds."""
    whole, rest = divmod(time, 1000)
    return f"{dt.datetime.fromtimestamp(whole, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def overlap(text: str) -> Overlap:
    """Return the overlap policy of that name; InvalidInput naming the known ones where there is none."""
    for known in OVERLAPS:
        if text.replace("-", "_") == known:
            return known
    raise InvalidInput(f"unknown overlap {text!r}; choose one of {', '.join(OVERLAPS)}")
