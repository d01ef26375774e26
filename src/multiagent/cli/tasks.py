"""``multiagent tasks``: what ran, what runs, and taking up what was left."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from multiagent.cli import events, output, report, steer
from multiagent.cli.home import LOAD, here
from multiagent.core.errors import InvalidInput
from multiagent.core.money import show_usd
from multiagent.core.task import FINISHED
from multiagent.core.tool import ASK_USER

if TYPE_CHECKING:
    from multiagent.app.place import Place

app = typer.Typer(help="List, show, steer and take up tasks.", no_args_is_help=True, rich_markup_mode=None)
steer.register(app)
events.register(app)

TASK: TypeAlias = Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")]
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_STATUSES: Final = ("queued", "running", "waiting", "paused", "completed", "failed", "cancelled", "quarantined")


@app.command("list")
def list_tasks(
    status: Annotated[str | None, typer.Option("--status", help=f"Only these: {', '.join(_STATUSES)}.")] = None,
    schedule: Annotated[str, typer.Option("--schedule", help="Only the runs of this schedule.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    before: Annotated[str, typer.Option("--before", help="Only tasks older than this id.")] = "",
    json: JSON = False,
) -> None:
    """List tasks, newest first."""
    import asyncio

    from multiagent.app.look import runs_of, tasks

    known = next((one for one in _STATUSES if one == status), None)
    if status is not None and known is None:
        raise InvalidInput(f"unknown status {status!r}; choose one of {', '.join(_STATUSES)}")
    place = here()
    found = runs_of(place, schedule, known, before, limit) if schedule else tasks(place, known, before, limit)
    rows = asyncio.run(found)
    if json:
        output.as_json(
            [
                {
                    "task": row.id,
                    "status": row.status,
                    "query": row.query,
                    "mode": row.mode,
                    "tokens": row.usage.total,
                    "cost_usd": report.dollars(row.cost_pico),
                    "created": row.created,
                    "duration_ms": row.duration_ms,
                }
                for row in rows
            ]
        )
        return
    if not rows:
        asked = status or schedule or before
        output.say("there is no such task" if asked else "no tasks yet; start one with: multiagent run QUERY")
    for row in rows:
        query = re.sub(r"\s+", " ", row.query)
        short = query if len(query) <= 60 else query[:59] + "…"
        tokens = f"{row.usage.total:,}"
        output.answer(
            f"{row.id}  {_when(row.created)}  {row.status:<11} {tokens:>9}  {show_usd(row.cost_pico):>9}  {short}"
        )


@app.command("show")
def show(task: TASK, json: JSON = False) -> None:
    """Show a task: its agents, answer, sources and bill."""
    import asyncio

    from multiagent.app.decide import approvals
    from multiagent.app.lacking import lacking
    from multiagent.app.look import look

    place = here()
    record = asyncio.run(look(place, task))
    waiting = asyncio.run(approvals(place, task=task))
    if json:
        waits = [{"approval": one.id, "tool": one.tool, "step": one.step, "expires": one.expires} for one in waiting]
        lacks = "" if record.status in FINISHED else asyncio.run(lacking(place, task))
        output.as_json({**report.as_json(record), "waits_for": waits, "lacks": lacks})
        return
    output.answer(f"query: {record.query}")
    for one in waiting:
        if one.tool == ASK_USER:
            output.answer(f"asks: {one.arguments.decode()}: multiagent tasks answer {task} TEXT")
            continue
        output.answer(f"waits for approval of {one.tool} ({one.step}): multiagent approvals show {one.id}")
    for agent in record.agents:
        output.answer(
            f"  {agent.agent:<8} {agent.status:<10} {agent.usage.total:>8,} tokens  {show_usd(agent.cost_pico):>9}  "
            f"{agent.execution_ms / 1000:.1f}s  {agent.query}"
        )
    output.answer("")
    output.answer(report.text(record))
    if record.status in {"queued", "running", "waiting"}:
        output.say(_unfinished(place, task))


def _unfinished(place: "Place", task: str) -> str:
    """What to say of a task that goes on, or would if somebody worked on it."""
    import asyncio

    from multiagent.app.lacking import lacking

    if not place.served:
        return f"not finished; if no process works on it: multiagent tasks follow {task}"
    lack = asyncio.run(lacking(place, task))
    return f"not finished; it waits: {lack}" if lack else "not finished; services work on it"


@app.command("follow")
def follow(
    task: TASK,
    load: LOAD = None,
    json: JSON = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> int:
    """Print a finished task's answer, or take up one whose process is gone, finish it and print its answer."""
    import asyncio

    from multiagent.app.look import look
    from multiagent.app.steer import ended
    from multiagent.cli.report import show as show_record
    from multiagent.cli.session import take_up

    place = here(load)
    manner = output.Manner(json=json, quiet=quiet)
    if asyncio.run(ended(place, task, 0)):
        return show_record(asyncio.run(look(place, task)), manner)
    return asyncio.run(take_up(place, task, manner))


def _when(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
