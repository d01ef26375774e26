"""Schedules, for people and as JSON."""

import datetime as dt
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from multiagent.cli import output, report
from multiagent.core.money import show_usd
from multiagent.core.schedule import Schedule, iso

if TYPE_CHECKING:
    from multiagent.app.leaving import Steered
    from multiagent.app.place import Place
    from multiagent.engines.schedules.base import Shown
    from multiagent.engines.schedules.book import Kept

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def told(place: "Place", done: "Steered", what: str, *, json: bool) -> None:
    """Say what became of what was asked, and who runs the schedule's times."""
    if json:
        output.as_json({"schedule": done.task, "command": done.command, "delivered": done.delivered})
    elif done.delivered:
        see = "" if what == "deleted" else f"; see: multiagent schedules show {done.task}"
        output.say(f"schedule {done.task} is {what}{see}")
    if not done.delivered:
        output.say(f"what was asked is kept (command {done.command}) until it is taken: {_attendance(place)}")
    elif not json and what in {"created", "unpaused", "updated"}:
        output.say(f"its times are run while somebody is there: {_attendance(place)}")


def table(found: "Sequence[Kept]", *, json: bool) -> None:
    """Print schedules with their next times."""
    now = int(time.time() * 1000)
    if json:
        output.as_json([_definition(there.schedule) | {"next": _next(there.schedule, now)} for there in found])
        return
    if not found:
        output.say("no schedules yet; keep one with: multiagent schedules create NAME QUERY --cron '30 9 * * mon-fri'")
    for there in found:
        schedule = there.schedule
        first = _next(schedule, now)
        state = "paused" if schedule.paused else _local(schedule, first) if first else "over"
        query = " ".join(schedule.query.split())
        short = query if len(query) <= 50 else query[:49] + "…"
        output.answer(f"{schedule.id:<20} {_when(schedule):<28} {state:<26} {short}")


def one(shown: "Shown", *, json: bool) -> None:
    """Print a schedule with its next times and its runs."""
    if json:
        output.as_json(_definition(shown.schedule) | _standing(shown))
        return
    schedule = shown.schedule
    output.answer(f"query: {schedule.query}")
    output.answer(f"when: {_when(schedule)}; overlap: {schedule.overlap}; caught up: {_span(schedule.catch_up_s)}")
    output.answer(f"each run: {_limits(schedule)}")
    if schedule.paused:
        output.answer(f"paused{f': {schedule.note}' if schedule.note else ''}")
    elif schedule.note:
        output.answer(f"note: {schedule.note}")
    if shown.state.error:
        output.answer(f"trouble: {shown.state.error}")
    for moment in shown.upcoming:
        output.answer(f"next: {_local(schedule, iso(moment))}")
    for run in shown.runs:
        spent = f"{run.tokens:>9,}  {show_usd(run.cost_pico):>9}"
        output.answer(f"{run.task}  {_local(schedule, iso(run.planned))}  {run.status:<11} {spent}")
    if not shown.runs:
        output.say("no runs yet")


def _definition(schedule: Schedule) -> dict[str, object]:
    own = schedule.overrides
    return {
        "schedule": schedule.id,
        "query": schedule.query,
        "cron": schedule.cron or None,
        "every_s": schedule.every_s or None,
        "tz": schedule.zone,
        "overlap": schedule.overlap,
        "catch_up_s": schedule.catch_up_s,
        "paused": schedule.paused,
        "note": schedule.note,
        "start": None if schedule.start is None else iso(schedule.start),
        "end": None if schedule.end is None else iso(schedule.end),
        "session": schedule.session,
        "budget_usd": None if own.pico is None else report.dollars(own.pico),
        "budget_tokens": own.tokens,
        "tier": own.tier,
        "max_agents": own.max_agents,
        "strategy": own.strategy,
        "require_approval": own.require_approval,
    }


def _standing(shown: "Shown") -> dict[str, object]:
    state = shown.state
    return {
        "created": iso(shown.created),
        "updated": iso(shown.updated),
        "next": [iso(moment) for moment in shown.upcoming],
        "buffered": None if state.buffered is None else iso(state.buffered),
        "backfills": [{"from": iso(span.after + 1), "to": iso(span.until)} for span in state.spans],
        "error": state.error,
        "runs": [
            {
                "planned": iso(run.planned),
                "task": run.task,
                "status": run.status,
                "tokens": run.tokens,
                "cost_usd": report.dollars(run.cost_pico),
            }
            for run in shown.runs
        ],
    }


def _next(schedule: Schedule, now: int) -> str:
    from multiagent.engines.schedules.times import upcoming

    found = upcoming(schedule, now, 1)
    return iso(found[0]) if found else ""


def _when(schedule: Schedule) -> str:
    return f"{schedule.cron} ({schedule.zone})" if schedule.cron else f"every {_span(schedule.every_s)}"


def _limits(schedule: Schedule) -> str:
    own = schedule.overrides
    limits = [
        *([] if own.pico is None else [show_usd(own.pico)]),
        *([] if own.tokens is None else [f"{own.tokens:,} tokens"]),
    ]
    parts = [f"at most {' and '.join(limits)}" if limits else "the configured budget"]
    parts += [f"tier {own.tier}"] if own.tier else []
    parts += [f"session {schedule.session}"] if schedule.session else []
    parts += ["a person approves its plan"] if own.require_approval else []
    return ", ".join(parts)


def _local(schedule: Schedule, moment: str) -> str:
    from multiagent.engines.schedules.times import zone

    there = dt.datetime.fromisoformat(moment).astimezone(zone(schedule.zone))
    return f"{there:%Y-%m-%d %H:%M:%S%z}"


def _span(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"


def _attendance(place: "Place") -> str:
    if place.served:
        return "multiagent serve orchestrator, with Temporal"
    pid = place.owner()
    if pid is None:
        return "no process works on this home; start one: multiagent serve"
    return f"process {pid or 'unknown'} owns this home now; after a restart of the machine: multiagent serve"
