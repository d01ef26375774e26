"""Schedules at the doors: what a person asks for, as commands; what there is, read by any process."""

import datetime as dt
from collections.abc import Mapping
from typing import Final

import msgspec

from multiagent.app.build import LOCAL_USER, TENANT
from multiagent.app.detach import LOG, accepted, start_owner
from multiagent.app.leaving import Steered, leave, steered
from multiagent.app.place import Place
from multiagent.app.system import SystemClock
from multiagent.core.errors import EngineUnavailable, InvalidInput
from multiagent.core.schedule import Schedule
from multiagent.engines.schedules.base import Shown
from multiagent.engines.schedules.book import Kept, found, kept, shown, unknown
from multiagent.engines.schedules.times import checked, checked_span, zone
from multiagent.orchestrator.schedules import KIND, Backfill, Create, Update, Wish
from multiagent.orchestrator.service import checked_query
from multiagent.orchestrator.sessions import checked_session

RUNS: Final = 10
"""How many of its newest runs are shown of a schedule."""


async def ask(place: Place, schedule: str, wish: Wish, environment: Mapping[str, str]) -> Steered:
    """Ask something of a schedule; wait until it is done. Where nobody works there, a background owner is started.

    Raises NotFound for an unknown one, InvalidInput, and what the command was refused with.
    """
    wish = await _checked(place, schedule, wish)
    command = await leave(place, KIND, schedule, msgspec.json.encode(wish))
    if place.attended():
        return await steered(place, command, schedule)
    process = start_owner(place, environment)
    try:
        await accepted(place, command, process)
    except EngineUnavailable as error:
        raise EngineUnavailable(
            f"what was asked of schedule {schedule} is kept (command {command}), but no background owner has "
            f"taken it: see {place.home / LOG}, then start one: multiagent serve"
        ) from error
    return Steered(command, schedule, delivered=True)


async def schedules(place: Place) -> tuple[Kept, ...]:
    """Return all schedules, by their names; none where there is no data yet."""
    async with place.reader() as reader:
        return () if reader is None else tuple(kept(row) for row in await reader.schedules(TENANT))


async def show(place: Place, schedule: str, limit: int = RUNS) -> Shown:
    """Return a schedule with its next times and its newest runs; NotFound where there is none of that name."""
    async with place.reader() as reader:
        there = None if reader is None else await found(reader, TENANT, schedule)
        if reader is None or there is None:
            raise unknown(schedule)
        return await shown(reader, there, SystemClock().now(), limit)


async def definition(place: Place, schedule: str) -> Schedule:
    """Return a schedule as it is defined; NotFound where there is none of that name."""
    return (await show(place, schedule, 0)).schedule


def moment(text: str, where: str) -> int:
    """Return a time in ms UTC from ISO 8601 ("2026-03-01", "2026-03-01T09:00"), in the zone ``where`` if it names none.

    Raises InvalidInput where the text is no time.
    """
    try:
        found_time = dt.datetime.fromisoformat(text)
        if found_time.tzinfo is None:
            found_time = found_time.replace(tzinfo=zone(where))
        return round(found_time.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is no time; write it like 2026-03-01T09:00 or 2026-03-01T08:00Z") from None


async def _checked(place: Place, schedule: str, wish: Wish) -> Wish:
    """Return a wish as it is left; what can be seen to be wrong is refused before it is a command."""
    now = SystemClock().now()
    async with place.reader() as reader:
        there = None if reader is None else await found(reader, TENANT, schedule)
    if isinstance(wish, Create):
        return Create(_acting(checked(wish.schedule, now)))
    if there is None:
        raise unknown(schedule)
    if isinstance(wish, Update):
        return Update(_acting(checked(wish.schedule, now)))
    if isinstance(wish, Backfill):
        checked_span(there.schedule, wish.span, now)
    return wish


def _acting(schedule: Schedule) -> Schedule:
    session = checked_session(schedule.session) if schedule.session else ""
    query = checked_query(schedule.query)
    return msgspec.structs.replace(schedule, query=query, session=session, principal=LOCAL_USER)
