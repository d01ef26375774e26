"""When a schedule's times come: cron lines in a time zone, intervals. Pure, but for the time zone database.

Lines are read by ``cronsim``; its own walk along the times is not used: it errs where clocks change by half an hour.
A cron line has five fields, or six with seconds first. Where both day fields are given, a day that fits either counts.
Across a change of the clocks it is as in Debian's cron: a job of a fixed hour is run once a day, at the first moment
after a gap that its hour falls into and at the first of two equal hours; one that is repeated by ``*`` runs whenever
the clock shows a time that fits.
"""

import datetime as dt
import difflib
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from multiagent.core.errors import ConfigInvalid, InvalidInput
from multiagent.core.schedule import LEAST_CATCH_UP_S, LONGEST_S, MOST_BACKFILL, NAME, Schedule, Span

if TYPE_CHECKING:
    from cronsim import CronSim

INSTALL: Final = 'cron lines need an optional package: pip install "multiagent[schedules]"'
_LAST: Final = dt.date(9990, 1, 1)
_HORIZON_DAYS: Final = 50 * 366
"""How far a next time is looked for: a 29 February that is a Sunday comes within that."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line, read. Days of the week are 0 (Sunday) to 6. ``either``: a day that fits one of both day fields.
    ``fixed``: its hour and minute are no ``*``, so that it is run once a day, whatever the clocks do.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either: bool
    fixed: bool

    def on(self, day: dt.date) -> bool:
        """Whether a day fits its month and day fields."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


def checked(schedule: Schedule, now: int) -> Schedule:
    """Return a schedule with its query and zone as they are kept; InvalidInput where it cannot be run, or never comes.

    ConfigInvalid where cron lines need a package that is not installed.
    """
    if not NAME.fullmatch(schedule.id):
        raise InvalidInput(
            f"{schedule.id!r} is no schedule's name: up to 64 of a-z, 0-9, _ and -, a letter or digit first"
        )
    if bool(schedule.cron.strip()) == bool(schedule.every_s):
        raise InvalidInput("say when: a cron line or an interval, one of the two")
    if schedule.every_s and not 1 <= schedule.every_s <= LONGEST_S:
        raise InvalidInput(f"an interval is 1 second to 366 days, not {schedule.every_s} s")
    if not LEAST_CATCH_UP_S <= schedule.catch_up_s <= LONGEST_S:
        raise InvalidInput(f"a catch-up window is {LEAST_CATCH_UP_S} s to 366 days, not {schedule.catch_up_s} s")
    if schedule.start is not None and schedule.end is not None and schedule.end <= schedule.start:
        raise InvalidInput("a schedule ends after it starts; give a later end")
    kept = msgspec.structs.replace(schedule, cron=" ".join(schedule.cron.split()), zone=zone(schedule.zone).key)
    if kept.cron:
        read_cron(kept.cron)
    if next(times(kept, now), None) is None:
        raise InvalidInput(f"schedule {kept.id} would never run: no time of it is still to come")
    return kept


def zone(name: str) -> zoneinfo.ZoneInfo:
    """Return a time zone; InvalidInput, naming what comes near, where there is none of that name."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name, sorted(zoneinfo.available_timezones()), 3, 0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; write it like Europe/Berlin"
        raise InvalidInput(f"there is no time zone {name!r}{hint}") from None


def read_cron(line: str) -> Cron:
    """Read a cron line; InvalidInput naming the field that cannot be read."""
    from_line = _parsed(line)
    parts = from_line.parts
    for numbers, name in ((from_line.days, "day-of-month"), (from_line.weekdays, "day-of-week")):
        if any(not isinstance(one, int) or one < 0 for one in numbers):
            raise InvalidInput(
                f"the cron line {line!r} cannot be used: L and # in {name} mean different things elsewhere"
            )
    weekdays = {one % 7 for one in from_line.weekdays if isinstance(one, int)}
    return Cron(
        tuple(sorted(from_line.seconds)),
        tuple(sorted(from_line.minutes)),
        tuple(sorted(from_line.hours)),
        tuple(sorted(from_line.days)),
        tuple(sorted(from_line.months)),
        tuple(sorted(weekdays)),
        either=not from_line.day_and,
        fixed=len(line.split()) == 5 and not parts[1].startswith("*") and not parts[2].startswith("*"),
    )


def times(schedule: Schedule, after: int) -> Iterator[int]:
    """Yield a schedule's times over ``after``, rising; they may be without end."""
    if schedule.start is not None:
        after = max(after, schedule.start - 1)
    for time in _interval(schedule.every_s, after) if schedule.every_s else _cron(schedule, after):
        if schedule.end is not None and time > schedule.end:
            return
        yield time


def upcoming(schedule: Schedule, after: int, count: int) -> tuple[int, ...]:
    """Return the next times, at the most so many; none while it is paused."""
    return () if schedule.paused else tuple(islice(times(schedule, after), count))


def is_time(schedule: Schedule, time: int) -> bool:
    """Whether a time is one of the schedule's."""
    return next(times(schedule, time - 1), None) == time


def checked_span(schedule: Schedule, span: Span, now: int) -> int:
    """Return how many times a backfill has; InvalidInput where it has none, too many, or some that are to come."""
    if span.until > now:
        raise InvalidInput("a backfill is of times that have passed; give an earlier --to")
    found = sum(1 for _ in islice(within(schedule, span), MOST_BACKFILL + 1))
    if not found:
        raise InvalidInput(f"schedule {schedule.id} has no time between these two")
    if found > MOST_BACKFILL:
        raise InvalidInput(f"these are more than {MOST_BACKFILL} times; backfill them in parts")
    return found


def within(schedule: Schedule, span: Span) -> Iterator[int]:
    """Yield a schedule's times within a span, rising."""
    for time in times(schedule, span.after):
        if time > span.until:
            return
        yield time


def shifted(schedule: Schedule, after: int, days: int) -> Iterator[int]:
    """Yield the times of so many days after ``after`` that stand in for times of the wall clock which a gap skips."""
    if not schedule.cron or not (cron := read_cron(schedule.cron)).fixed:
        return
    there = zone(schedule.zone)
    first = dt.datetime.fromtimestamp(after // 1000, there).date()
    for number in range(days):
        day = first + dt.timedelta(days=number)
        if cron.on(day) and _midday(day, there) > _midday(day - dt.timedelta(days=1), there):
            walls = [dt.datetime.combine(day, dt.time(hour, minute)) for hour in cron.hours for minute in cron.minutes]
            found = {_first_real(wall, there): wall for wall in walls}
            yield from sorted(time for time, wall in found.items() if _shown(time, there) != wall)


def _midday(day: dt.date, there: zoneinfo.ZoneInfo) -> dt.timedelta:
    """Return the offset of a zone on a day, well after its clocks change."""
    return dt.datetime.combine(day, dt.time(12), there).utcoffset() or dt.timedelta()


def _shown(time: int, there: zoneinfo.ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(time // 1000, there).replace(tzinfo=None)


def _interval(seconds: int, after: int) -> Iterator[int]:
    step = seconds * 1000
    time = (after // step + 1) * step
    while True:
        yield time
        time += step


def _cron(schedule: Schedule, after: int) -> Iterator[int]:
    cron, there = read_cron(schedule.cron), zone(schedule.zone)
    last = after
    for time in _fixed(cron, there, after) if cron.fixed else _repeated(cron, there, after):
        if time > last:
            last = time
            yield time


def _fixed(cron: Cron, there: zoneinfo.ZoneInfo, after: int) -> Iterator[int]:
    """Go through the days that fit, from the one before ``after``; of each, all its times of the day."""
    first = dt.datetime.fromtimestamp(after // 1000, there).date() - dt.timedelta(days=1)
    walls = [dt.time(hour, minute) for hour in cron.hours for minute in cron.minutes]
    for day in _days(first):
        if cron.on(day):
            yield from sorted({_first_real(dt.datetime.combine(day, wall), there) for wall in walls})


def _repeated(cron: Cron, there: zoneinfo.ZoneInfo, after: int) -> Iterator[int]:
    """Go through real time: days that fit where they are, then their hours, minutes and seconds."""
    for day in _days(dt.datetime.fromtimestamp(after // 1000, dt.UTC).date()):
        if not any(cron.on(day + dt.timedelta(days=near)) for near in (-1, 0, 1)):
            continue
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        for number in range(1440):
            minute = midnight + dt.timedelta(minutes=number)
            begun = int(minute.timestamp())
            if begun * 1000 + 60_000 <= after:
                continue
            wall = minute.astimezone(there)
            if wall.minute in cron.minutes and wall.hour in cron.hours and cron.on(wall.date()):
                yield from ((begun + second) * 1000 for second in cron.seconds)


def _days(first: dt.date) -> Iterator[dt.date]:
    for number in range(min(_HORIZON_DAYS, (_LAST - first).days)):
        yield first + dt.timedelta(days=number)


def _first_real(wall: dt.datetime, there: zoneinfo.ZoneInfo) -> int:
    """Return the first moment at which the clock shows ``wall``, or, where that is skipped, what is after the gap."""
    moment = wall.replace(tzinfo=there).astimezone(dt.UTC)
    shown = moment.astimezone(there).replace(tzinfo=None)
    if shown != wall:  # inside of a gap, fold 0 is read with the offset before it: the clock shows what is past it
        low, high = moment - (shown - wall), moment
        while high - low > dt.timedelta(seconds=1):
            middle = low + (high - low) // 2
            past = middle.astimezone(there).replace(tzinfo=None) > wall
            low, high = (low, middle) if past else (middle, high)
        moment = high.replace(microsecond=0)
    return int(moment.timestamp()) * 1000


def _parsed(line: str) -> "CronSim":
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise ConfigInvalid(INSTALL) from None
    try:
        return CronSim(line, dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    except CronSimError as error:
        what = str(error)[:1].lower() + str(error)[1:]
        raise InvalidInput(
            f"the cron line {line!r} cannot be read: {what}; write it like '30 9 * * mon-fri' "
            "(minute, hour, day of the month, month, day of the week)"
        ) from None
