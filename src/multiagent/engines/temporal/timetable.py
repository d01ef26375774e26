"""When a schedule's times come, as Temporal writes that down: wherever ours is, theirs is too.

Theirs may be more: what shows a time twice is looked at twice. It knows no gaps of the clocks, so that the times which
stand in for skipped ones are told one by one, for some years.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from multiagent.core.schedule import Schedule
from multiagent.engines.schedules.times import Cron, read_cron, shifted, zone

DAYS_AHEAD: Final = 3_653
"""So far ahead gaps are told; a start of an orchestrator tells them anew."""
_EVERY_DAY: Final = (1, 31)
_ALL_WEEK: Final = (0, 6)


def spec(schedule: Schedule, now: int) -> ScheduleSpec:
    """Return a schedule's times, from ``now`` on."""
    start, end = _moment(schedule.start), _moment(schedule.end)
    if schedule.every_s:
        interval = ScheduleIntervalSpec(dt.timedelta(seconds=schedule.every_s))
        return ScheduleSpec(intervals=[interval], start_at=start, end_at=end)
    calendars = [*_calendars(read_cron(schedule.cron)), *_gaps(schedule, now)]
    return ScheduleSpec(calendars=calendars, time_zone_name=schedule.zone, start_at=start, end_at=end)


def _calendars(cron: Cron) -> Iterator[ScheduleCalendarSpec]:
    """One calendar, or two where a day fits by either of its fields: in one all fields have to fit."""
    days, weekdays = ranges(cron.days), ranges(cron.weekdays)
    if not cron.either:
        yield _calendar(cron, days, weekdays)
        return
    yield _calendar(cron, days, [ScheduleRange(*_ALL_WEEK)])
    yield _calendar(cron, [ScheduleRange(*_EVERY_DAY)], weekdays)


def _calendar(cron: Cron, days: list[ScheduleRange], weekdays: list[ScheduleRange]) -> ScheduleCalendarSpec:
    return ScheduleCalendarSpec(
        second=ranges(cron.seconds), minute=ranges(cron.minutes), hour=ranges(cron.hours), day_of_month=days,
        month=ranges(cron.months), day_of_week=weekdays,
    )  # fmt: skip


def _gaps(schedule: Schedule, now: int) -> Iterator[ScheduleCalendarSpec]:
    there = zone(schedule.zone)
    for time in shifted(schedule, now, DAYS_AHEAD):
        at = dt.datetime.fromtimestamp(time // 1000, there)
        yield ScheduleCalendarSpec(
            second=ranges([at.second]), minute=ranges([at.minute]), hour=ranges([at.hour]),
            day_of_month=ranges([at.day]), month=ranges([at.month]), year=ranges([at.year]),
        )  # fmt: skip


def ranges(numbers: Iterable[int]) -> list[ScheduleRange]:
    """Return rising numbers as ranges without a gap."""
    found: list[ScheduleRange] = []
    for number in numbers:
        if found and found[-1].end + 1 == number:
            found[-1] = ScheduleRange(found[-1].start, number)
        else:
            found.append(ScheduleRange(number, number))
    return found


def _moment(time: int | None) -> dt.datetime | None:
    return None if time is None else dt.datetime.fromtimestamp(time / 1000, dt.UTC)
