"""``multiagent schedules``: tasks that are run at times."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from multiagent.cli import schedules_view
from multiagent.cli.home import here
from multiagent.core.errors import InvalidInput

if TYPE_CHECKING:
    from multiagent.core.schedule import Overrides, Schedule
    from multiagent.orchestrator.schedules import Wish

app = typer.Typer(help="Run tasks at times: cron lines and intervals.", no_args_is_help=True, rich_markup_mode=None)

NAME: TypeAlias = Annotated[str, typer.Argument(help="A schedule's name: a-z, 0-9, _ and -.", metavar="NAME")]
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NOTE: TypeAlias = Annotated[str | None, typer.Option("--note", help="Why; kept with the schedule.")]
CRON: TypeAlias = Annotated[str | None, typer.Option("--cron", help="A cron line: '30 9 * * mon-fri'.")]
EVERY: TypeAlias = Annotated[
    str | None, typer.Option("--every", help="An interval: 90s, 15m, 1h, 1d; counted from 1970 in UTC.")
]
ZONE: TypeAlias = Annotated[str | None, typer.Option("--tz", help="The time zone of the cron line; UTC by default.")]
OVERLAP: TypeAlias = Annotated[
    str | None,
    typer.Option("--overlap", help="While a run goes on: skip (default), buffer_one, allow_all or cancel_other."),
]
CATCH_UP: TypeAlias = Annotated[
    str | None, typer.Option("--catch-up", help="How late a missed time is still run: 1h by default.")
]
START: TypeAlias = Annotated[str | None, typer.Option("--start", help="No time before it counts: 2026-03-01T09:00.")]
END: TypeAlias = Annotated[str | None, typer.Option("--end", help="No time after it counts.")]
SESSION: TypeAlias = Annotated[str | None, typer.Option("--session", help="The session that the runs belong to.")]
USD: TypeAlias = Annotated[str | None, typer.Option("--budget-usd", help="Most dollars that one run may cost.")]
TOKENS: TypeAlias = Annotated[int | None, typer.Option("--budget-tokens", help="Most tokens that one run may use.")]
TIER: TypeAlias = Annotated[str | None, typer.Option("--tier", help="small, medium or large.")]
AGENTS: TypeAlias = Annotated[int | None, typer.Option("--max-agents", help="Agents at work at the same time.")]
STRATEGY: TypeAlias = Annotated[
    str | None, typer.Option("--strategy", help="direct, iterative, collaborative or auto.")
]
APPROVAL: TypeAlias = Annotated[
    bool | None,
    typer.Option("--require-approval/--no-require-approval", help="A person approves the plan of each run."),
]


@app.command("create")
def create(
    name: NAME,
    query: Annotated[str, typer.Argument(help="What each run is asked.")],
    cron: CRON = None,
    every: EVERY = None,
    tz: ZONE = None,
    overlap: OVERLAP = None,
    catch_up: CATCH_UP = None,
    start: START = None,
    end: END = None,
    session: SESSION = None,
    budget_usd: USD = None,
    budget_tokens: TOKENS = None,
    tier: TIER = None,
    max_agents: AGENTS = None,
    strategy: STRATEGY = None,
    require_approval: APPROVAL = None,
    paused: Annotated[bool, typer.Option("--paused", help="Run nothing until it is unpaused.")] = False,
    note: NOTE = None,
    json: JSON = False,
) -> None:
    """Keep a query that is run as a task of its own at each of its times, each run under its own budget."""
    from multiagent.app.build import LOCAL_USER
    from multiagent.core.schedule import Overrides, Schedule
    from multiagent.orchestrator.schedules import Create

    first = Schedule(name, query, LOCAL_USER, paused=paused, note=note or "")
    schedule = _timed(first, cron, every, tz)
    schedule = _bounded(schedule, overlap, catch_up, start, end)
    own = _limited(Overrides(), budget_usd, budget_tokens, max_agents)
    own = _manner(own, tier, strategy, require_approval)
    _ask(name, Create(_with(schedule, session, own)), "created", json=json)


@app.command("update")
def update(
    name: NAME,
    query: Annotated[str | None, typer.Option("--query", help="What each run is asked.")] = None,
    cron: CRON = None,
    every: EVERY = None,
    tz: ZONE = None,
    overlap: OVERLAP = None,
    catch_up: CATCH_UP = None,
    start: START = None,
    end: END = None,
    session: SESSION = None,
    budget_usd: USD = None,
    budget_tokens: TOKENS = None,
    tier: TIER = None,
    max_agents: AGENTS = None,
    strategy: STRATEGY = None,
    require_approval: APPROVAL = None,
    note: NOTE = None,
    json: JSON = False,
) -> None:
    """Change what is given of a schedule; the rest stays. Its times count from now on; a run under way goes on."""
    import asyncio

    import msgspec

    from multiagent.app.schedules import definition
    from multiagent.orchestrator.schedules import Update

    was = asyncio.run(definition(here(), name))
    if query is not None or note is not None:
        was = msgspec.structs.replace(was, query=query or was.query, note=was.note if note is None else note)
    schedule = _bounded(_timed(was, cron, every, tz), overlap, catch_up, start, end)
    own = _limited(was.overrides, budget_usd, budget_tokens, max_agents)
    own = _manner(own, tier, strategy, require_approval)
    _ask(name, Update(_with(schedule, session, own)), "updated", json=json)


@app.command("list")
def list_schedules(json: JSON = False) -> None:
    """List schedules with their next times."""
    import asyncio

    from multiagent.app.schedules import schedules

    schedules_view.table(asyncio.run(schedules(here())), json=json)


@app.command("show")
def show(
    name: NAME,
    runs: Annotated[int, typer.Option("--runs", "-n", min=0, max=1000, help="At most so many of its runs.")] = 10,
    json: JSON = False,
) -> None:
    """Show a schedule, its next times, and its newest runs with their tasks and how they ended."""
    import asyncio

    from multiagent.app.schedules import show as look

    schedules_view.one(asyncio.run(look(here(), name, runs)), json=json)


@app.command("pause")
def pause(name: NAME, note: NOTE = None, json: JSON = False) -> None:
    """Run none of its times from now on; they are not caught up later. A run under way goes on."""
    from multiagent.orchestrator.schedules import Pause

    _ask(name, Pause(note or ""), "paused", json=json)


@app.command("unpause")
def unpause(name: NAME, note: NOTE = None, json: JSON = False) -> None:
    """Go on with the times that come from now on."""
    from multiagent.orchestrator.schedules import Unpause

    _ask(name, Unpause(note or ""), "unpaused", json=json)


@app.command("trigger")
def trigger(name: NAME, json: JSON = False) -> None:
    """Run it now, under its overlap policy, paused or not."""
    from multiagent.orchestrator.schedules import Trigger

    _ask(name, Trigger(), "triggered", json=json)


@app.command("backfill")
def backfill(
    name: NAME,
    after: Annotated[str, typer.Option("--from", help="Times at or after it: 2026-03-01, 2026-03-01T09:00.")],
    until: Annotated[str, typer.Option("--to", help="Times up to it.")],
    json: JSON = False,
) -> None:
    """Run its past times in a span, one after another; those that were run are not run again."""
    import asyncio

    from multiagent.app.schedules import definition, moment
    from multiagent.core.schedule import Span
    from multiagent.orchestrator.schedules import Backfill

    where = asyncio.run(definition(here(), name)).zone
    span = Span(moment(after, where) - 1, moment(until, where))
    _ask(name, Backfill(span), "backfilled", json=json)


@app.command("delete")
def delete(name: NAME, json: JSON = False) -> None:
    """Forget a schedule; its runs go on and stay."""
    from multiagent.orchestrator.schedules import Delete

    _ask(name, Delete(), "deleted", json=json)


def _ask(name: str, wish: "Wish", done: str, *, json: bool) -> None:
    import asyncio
    import os

    from multiagent.app.schedules import ask

    place = here()
    schedules_view.told(place, asyncio.run(ask(place, name, wish, os.environ)), done, json=json)


def _timed(schedule: "Schedule", cron: str | None, every: str | None, tz: str | None) -> "Schedule":
    import msgspec

    if cron is not None and every is not None:
        raise InvalidInput("say when: --cron or --every, one of the two")
    if cron is not None:
        schedule = msgspec.structs.replace(schedule, cron=cron, every_s=0)
    if every is not None:
        schedule = msgspec.structs.replace(schedule, cron="", every_s=_seconds("--every", every))
    if not schedule.cron and not schedule.every_s:
        raise InvalidInput("say when: --cron '30 9 * * mon-fri' or --every 15m")
    return schedule if tz is None else msgspec.structs.replace(schedule, zone=tz)


def _bounded(
    schedule: "Schedule", overlap: str | None, catch_up: str | None, start: str | None, end: str | None
) -> "Schedule":
    import msgspec

    from multiagent.app.schedules import moment
    from multiagent.core.schedule import overlap as overlap_of

    return msgspec.structs.replace(
        schedule,
        overlap=schedule.overlap if overlap is None else overlap_of(overlap),
        catch_up_s=schedule.catch_up_s if catch_up is None else _seconds("--catch-up", catch_up),
        start=schedule.start if start is None else moment(start, schedule.zone),
        end=schedule.end if end is None else moment(end, schedule.zone),
    )


def _limited(own: "Overrides", usd: str | None, tokens: int | None, agents: int | None) -> "Overrides":
    import msgspec

    from multiagent.cli.run import within
    from multiagent.core.money import usd as pico_of

    within("--budget-tokens", tokens, 10**12)
    within("--max-agents", agents, 100)
    return msgspec.structs.replace(
        own,
        pico=own.pico if usd is None else pico_of(usd),
        tokens=own.tokens if tokens is None else tokens,
        max_agents=own.max_agents if agents is None else agents,
    )


def _manner(own: "Overrides", tier: str | None, strategy: str | None, approval: bool | None) -> "Overrides":  # noqa: FBT001 - an option's value
    import msgspec

    from multiagent.core.plan import strategy as strategy_of
    from multiagent.core.tier import tier as tier_of

    return msgspec.structs.replace(
        own,
        tier=own.tier if tier is None else tier_of(tier),
        strategy=own.strategy if strategy is None else strategy_of(strategy),
        require_approval=own.require_approval if approval is None else approval,
    )


def _with(schedule: "Schedule", session: str | None, own: "Overrides") -> "Schedule":
    import msgspec

    session = schedule.session if session is None else session
    return msgspec.structs.replace(schedule, session=session, overrides=own)


def _seconds(option: str, text: str) -> int:
    """Return a duration in whole seconds: 90s, 15m, 1h, 2d; a bare number is seconds."""
    import re

    read = re.fullmatch(r"(\d{1,9})\s*([smhdw]?)", text.strip())
    if read is None:
        raise InvalidInput(f"{option} {text!r} is no duration in whole seconds; write it like 90s, 15m, 1h or 1d")
    return int(read[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "": 1}[read[2]]
