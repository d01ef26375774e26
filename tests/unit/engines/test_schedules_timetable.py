"""Wherever a schedule has a time, Temporal's reading of what it is told has it, too."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.client import ScheduleCalendarSpec, ScheduleRange, ScheduleSpec

from multiagent.core.principal import Principal
from multiagent.core.schedule import Schedule, Span
from multiagent.engines.schedules.times import shifted, within
from multiagent.engines.temporal.timetable import ranges, spec

WHO = Principal("local", "user")
DAY_MS = 86_400_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
CHANGES = tuple(
    dt.datetime(2026, month, day, tzinfo=dt.UTC)
    for month, day in ((3, 28), (10, 24), (3, 7), (10, 31), (4, 4), (10, 3), (2, 27))
)
"""The days before the clocks change in those zones, and one before a month ends."""
MINUTES = st.sampled_from(["*", "*/15", "0", "0,30", "5-20/5"])
HOURS = st.sampled_from(["*", "*/6", "0", "2", "2,3", "1-3", "23"])
DAYS = st.sampled_from(["*", "1", "29", "1-7", "*/2"])
WEEKDAYS = st.sampled_from(["*", "sun", "mon-fri", "0,6"])


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1000


def holds(found: "tuple[ScheduleRange, ...] | list[ScheduleRange]", number: int) -> bool:
    return any(one.start <= number <= one.end for one in found)


def literally(calendar: ScheduleCalendarSpec, wall: dt.datetime) -> bool:
    """Whether a calendar has what a clock shows: all its fields have to fit, and it knows of no gaps."""
    return (
        holds(list(calendar.minute), wall.minute)
        and holds(list(calendar.hour), wall.hour)
        and holds(list(calendar.day_of_month), wall.day)
        and holds(list(calendar.month), wall.month)
        and holds(list(calendar.day_of_week), wall.isoweekday() % 7)
        and (not calendar.year or holds(list(calendar.year), wall.year))
        and holds(list(calendar.second), 0)
    )


def as_temporal_reads(told: ScheduleSpec, begin: int, days: int) -> set[int]:
    there = ZoneInfo(told.time_zone_name or "UTC")
    found = set()
    for minute in range(days * 1440 + 1):
        time = begin + minute * 60_000
        wall = dt.datetime.fromtimestamp(time // 1000, there)
        if any(literally(calendar, wall) for calendar in told.calendars):
            found.add(time)
    return found


@settings(max_examples=40)
@given(MINUTES, HOURS, DAYS, WEEKDAYS, st.sampled_from(ZONES), st.sampled_from(CHANGES))
def test_no_time_of_a_cron_line_is_missing_on_the_server_and_none_is_far_from_one(
    minute: str, hour: str, day: str, weekday: str, where: str, change: dt.datetime
) -> None:
    schedule = Schedule("s", "q", WHO, cron=f"{minute} {hour} {day} * {weekday}", zone=where)
    begin = ms(change)
    ours = set(within(schedule, Span(begin - 1, begin + 3 * DAY_MS)))
    theirs = as_temporal_reads(spec(schedule, begin), begin, 3)
    assert ours <= theirs
    assert all(any(abs(time - one) <= 3_600_000 for one in ours) for time in theirs - ours if ours)


def test_the_times_that_stand_in_for_skipped_ones_are_told_one_by_one() -> None:
    daily = Schedule("s", "q", WHO, cron="30 2 * * *", zone="Europe/Berlin")
    begin = ms(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert list(shifted(daily, begin, 365)) == [ms(dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC))]
    assert len(spec(daily, begin).calendars) == 11
    assert list(shifted(Schedule("s", "q", WHO, cron="*/5 * * * *", zone="Europe/Berlin"), begin, 365)) == []
    assert list(shifted(Schedule("s", "q", WHO, every_s=60), begin, 365)) == []


def test_an_interval_is_told_as_one_with_its_bounds() -> None:
    told = spec(Schedule("s", "q", WHO, every_s=90, start=1_000, end=2_000_000), 0)
    assert [one.every for one in told.intervals] == [dt.timedelta(seconds=90)]
    assert (told.start_at, told.end_at) == (
        dt.datetime.fromtimestamp(1, dt.UTC),
        dt.datetime.fromtimestamp(2_000, dt.UTC),
    )


@pytest.mark.parametrize(
    ("numbers", "found"),
    [((), []), ((3,), [(3, 3)]), ((0, 1, 2, 5, 6, 9), [(0, 2), (5, 6), (9, 9)])],
)
def test_rising_numbers_become_ranges(numbers: "tuple[int, ...]", found: "list[tuple[int, int]]") -> None:
    assert [(one.start, one.end) for one in ranges(numbers)] == found
