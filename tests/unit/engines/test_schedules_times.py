"""When a schedule's times come, held to a slow count over every minute of the wall clock."""

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiagent.core.errors import InvalidInput
from multiagent.core.principal import Principal
from multiagent.core.schedule import Schedule, Span, iso, overlap, planned_of, run_key, run_prefix
from multiagent.engines.schedules.times import checked, checked_span, is_time, read_cron, times, upcoming, zone

WHO = Principal("local", "user")
DAY_MS = 86_400_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu")
"""Among them one whose clocks change by half an hour, and one whose midnight was skipped."""
CHANGES = (
    dt.datetime(2026, 3, 28, tzinfo=dt.UTC), dt.datetime(2026, 10, 24, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 7, tzinfo=dt.UTC), dt.datetime(2026, 10, 31, tzinfo=dt.UTC),
    dt.datetime(2026, 4, 4, tzinfo=dt.UTC), dt.datetime(2018, 11, 3, tzinfo=dt.UTC),
    dt.datetime(2026, 10, 3, tzinfo=dt.UTC), dt.datetime(2026, 2, 27, tzinfo=dt.UTC),
)  # fmt: skip
"""The days before the clocks change in those zones, and one before a month ends."""

MINUTES = st.sampled_from(["*", "*/15", "0", "30", "0,30", "5-20/5", "59"])
HOURS = st.sampled_from(["*", "*/6", "0", "1", "2", "2,3", "1-3", "23"])
DAYS = st.sampled_from(["*", "1", "29", "1-7", "*/2"])
WEEKDAYS = st.sampled_from(["*", "sun", "mon-fri", "0,6", "7"])


def cron(line: str, where: str = "UTC", start: int | None = None, end: int | None = None) -> Schedule:
    return Schedule("s", "q", WHO, cron=line, zone=where, start=start, end=end)


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1000


def field(text: str, least: int, most: int, names: str = "") -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, _, step = part.partition("/")
        low, _, high = body.partition("-")
        if body == "*":
            span = range(least, most + 1)
        else:
            ends = [names.split().index(one) if one in names.split() else int(one) for one in (low, high or low)]
            span = range(ends[0], ends[1] + 1)
        found |= set(span[:: int(step or 1)])
    return found


def fits(line: str, wall: dt.datetime) -> bool:
    minute, hour, day, month, weekday = line.split()
    names = "sun mon tue wed thu fri sat"
    on_day = wall.day in field(day, 1, 31)
    on_weekday = (wall.isoweekday() % 7) in {one % 7 for one in field(weekday, 0, 7, names)}
    both = day.startswith("*") or weekday.startswith("*")
    return (
        wall.minute in field(minute, 0, 59)
        and wall.hour in field(hour, 0, 23)
        and wall.month in field(month, 1, 12)
        and ((on_day and on_weekday) if both else (on_day or on_weekday))
    )


def by_counting(line: str, where: str, begin: dt.datetime, days: int) -> list[int]:
    """Look at every minute: of real time for a repeated job, of the wall clock for one of a fixed hour."""
    there = ZoneInfo(where)
    end = begin + dt.timedelta(days=days)
    minute, hour, *_ = line.split()
    if minute.startswith("*") or hour.startswith("*"):
        every = (begin + dt.timedelta(minutes=one) for one in range(1, days * 1440 + 1))
        return [ms(one) for one in every if fits(line, one.astimezone(there))]
    found = set()
    wall = (begin - dt.timedelta(days=1)).astimezone(there).replace(tzinfo=None)
    for _ in range((days + 2) * 1440):
        wall += dt.timedelta(minutes=1)
        if fits(line, wall):
            real = first_real(wall, there)
            if begin < real <= end:
                found.add(ms(real))
    return sorted(found)


def first_real(wall: dt.datetime, there: ZoneInfo) -> dt.datetime:
    """The first moment at or after a time of the wall clock that the clock really shows."""
    while True:
        real = wall.replace(tzinfo=there).astimezone(dt.UTC)
        if real.astimezone(there).replace(tzinfo=None) == wall:
            return real
        wall += dt.timedelta(minutes=1)


@given(MINUTES, HOURS, DAYS, WEEKDAYS, st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(0, 1439))
def test_the_times_of_a_cron_line_are_those_found_by_looking_at_every_minute(
    minute: str, hour: str, day: str, weekday: str, where: str, change: dt.datetime, later: int
) -> None:
    line, begin = f"{minute} {hour} {day} * {weekday}", change + dt.timedelta(minutes=later)
    expected = by_counting(line, where, begin, 3)
    assert list(until(cron(line, where), ms(begin), ms(begin) + 3 * DAY_MS)) == expected


def until(schedule: Schedule, after: int, end: int) -> Iterator[int]:
    for time in times(schedule, after):
        if time > end:
            return
        yield time


@given(st.integers(1, 5_000), st.integers(0, 2**41))
def test_an_interval_is_counted_from_1970_and_its_next_time_is_later(every: int, after: int) -> None:
    found = upcoming(Schedule("s", "q", WHO, every_s=every), after, 3)
    assert 0 < found[0] - after <= every * 1000
    assert all(time % (every * 1000) == 0 for time in found)
    assert all(later - earlier == every * 1000 for earlier, later in pairwise(found))


@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.sampled_from(["30 2 * * *", "0 */2 * * *", "15 0 * * 0"]))
def test_looking_again_from_each_time_finds_the_same_times(where: str, change: dt.datetime, line: str) -> None:
    at_once = upcoming(cron(line, where), ms(change), 6)
    after, one_by_one = ms(change), []
    for _ in at_once:
        after = upcoming(cron(line, where), after, 1)[0]
        one_by_one.append(after)
    assert tuple(one_by_one) == at_once


def test_a_daily_job_is_run_once_where_its_hour_is_skipped_and_where_it_comes_twice() -> None:
    spring = upcoming(cron("30 2 * * *", "Europe/Berlin"), ms(dt.datetime(2026, 3, 28, 12, tzinfo=dt.UTC)), 2)
    autumn = upcoming(cron("30 2 * * *", "Europe/Berlin"), ms(dt.datetime(2026, 10, 24, 12, tzinfo=dt.UTC)), 2)
    assert [iso(time) for time in spring] == ["2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"]
    assert [iso(time) for time in autumn] == ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"]


def test_a_second_equal_hour_is_no_time_of_a_daily_job() -> None:
    daily = cron("30 2 * * *", "Europe/Berlin")
    first, second = (ms(dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC)) for hour in (0, 1))
    assert is_time(daily, first)
    assert not is_time(daily, second)
    assert next(times(daily, first)) > second


def test_only_times_from_the_start_up_to_the_end_count_and_none_while_paused() -> None:
    begin = ms(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    bounded = cron("0 * * * *", start=begin, end=begin + 7_200_000)
    assert list(times(bounded, 0)) == [begin, begin + 3_600_000, begin + 7_200_000]
    paused = Schedule("s", "q", WHO, every_s=60, paused=True)
    assert upcoming(paused, 0, 3) == ()


def test_six_fields_have_seconds_first() -> None:
    assert [time // 1000 % 60 for time in upcoming(cron("*/20 * * * * *"), 0, 4)] == [20, 40, 0, 20]


def test_a_cron_line_is_read_into_its_fields() -> None:
    read = read_cron("0,30 9-11 1 */6 7")
    assert (read.minutes, read.hours, read.days, read.months, read.weekdays) == (
        (0, 30),
        (9, 10, 11),
        (1,),
        (1, 7),
        (0,),
    )
    assert read.either
    assert read.fixed
    assert not read_cron("*/5 9 * * 1").fixed
    assert not read_cron("*/5 9 * * 1").either


WRONG = {
    "61 * * * *": "minute",
    "0 25 * * *": "hour",
    "0 0 31 2 *": "day-of-month",
    "* *": "fields",
    "@daily": "fields",
    "0 0 L * *": "L and #",
    "0 0 * * 1#2": "L and #",
    "0 0 * foo *": "month",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_cron_line_that_cannot_be_used_says_which_part(line: str) -> None:
    with pytest.raises(InvalidInput, match=WRONG[line]):
        checked(cron(line), 0)


@pytest.mark.parametrize("name", ["Europe/Berlni", "", "America", "../etc/passwd", "A\0B", "x" * 300])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        checked(cron("0 0 * * *", name), 0)


def test_a_zone_that_is_nearly_right_is_named() -> None:
    with pytest.raises(InvalidInput, match="Europe/Berlin"):
        zone("Europe/Berlni")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"every_s": 0}, "one of the two"),
        ({"every_s": 60, "cron": "* * * * *"}, "one of the two"),
        ({"every_s": -5}, "1 second"),
        ({"every_s": 400 * 86_400}, "366 days"),
        ({"every_s": 60, "catch_up_s": 1}, "catch-up"),
        ({"every_s": 60, "start": 10, "end": 10}, "later end"),
        ({"every_s": 60, "end": 1_000}, "never run"),
        ({"every_s": 60, "id": "Über uns"}, "name"),
    ],
)
def test_a_schedule_that_cannot_be_run_is_refused(other: "dict[str, int | str]", why: str) -> None:
    wrong = msgspec.convert({"id": "s", "query": "q", "principal": WHO, **other}, Schedule)
    with pytest.raises(InvalidInput, match=why):
        checked(wrong, 2_000)


def test_a_backfill_is_of_past_times_and_of_no_more_than_a_thousand() -> None:
    hourly = Schedule("s", "q", WHO, every_s=3_600)
    hour = 3_600_000
    assert checked_span(hourly, Span(0, 10 * hour), 10 * hour) == 10
    with pytest.raises(InvalidInput, match="have passed"):
        checked_span(hourly, Span(0, 10 * hour), 10 * hour - 1)
    with pytest.raises(InvalidInput, match="in parts"):
        checked_span(hourly, Span(0, 1_001 * hour), 10**12)
    with pytest.raises(InvalidInput, match="no time"):
        checked_span(hourly, Span(1, 2), 10)


def test_the_keys_of_a_schedules_runs_sort_by_their_times_and_share_no_prefix_with_another() -> None:
    keys = [run_key("s", time) for time in (0, 999, 1_000, 10**12, 2 * 10**12)]
    assert keys == sorted(keys)
    assert all(one.startswith(run_prefix("s")) for one in keys)
    assert [planned_of(one) for one in keys] == [0, 999, 1_000, 10**12, 2 * 10**12]
    assert not run_key("s-2", 0).startswith(run_prefix("s"))


@pytest.mark.parametrize(("said", "kept"), list(product(["cancel-other", "cancel_other"], ["cancel_other"])))
def test_an_overlap_policy_may_be_written_with_hyphens(said: str, kept: str) -> None:
    assert overlap(said) == kept
    with pytest.raises(InvalidInput, match="buffer_one"):
        overlap("queue")
