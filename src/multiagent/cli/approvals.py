"""``multiagent approvals``: what waits for a person's word, and saying it."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from multiagent.cli import output
from multiagent.cli.home import here
from multiagent.cli.steer import tell

if TYPE_CHECKING:
    from multiagent.storage.sql.base import ApprovalRow

app = typer.Typer(help="Show and decide what waits for a person's word.", no_args_is_help=True, rich_markup_mode=None)

APPROVAL: TypeAlias = Annotated[str, typer.Argument(help="An approval's id.", metavar="APPROVAL")]
REASON: TypeAlias = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_approvals(
    task: Annotated[str, typer.Option("--task", help="Only of this task.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Those decided before, too.")] = False,
    json: JSON = False,
) -> None:
    """List what waits, oldest first."""
    import asyncio

    from multiagent.app.decide import approvals

    place = here()
    rows = asyncio.run(approvals(place, task=task, pending=not every))
    if json:
        output.as_json([_fields(row) for row in rows])
        return
    if not rows:
        output.say("nothing waits for a person's word")
    for row in rows:
        arguments = row.arguments.decode("utf-8", "replace")
        short = arguments if len(arguments) <= 60 else f"{arguments[:59]}…"
        output.answer(f"{row.id}  {row.task}  {_when(row.expires)}  {row.state:<9} {row.tool}  {short}")


@app.command("show")
def show(approval: APPROVAL, json: JSON = False) -> None:
    """Show one: the tool, the whole arguments, until when, and what was decided."""
    import asyncio

    from multiagent.app.decide import approval as find

    place = here()
    row = asyncio.run(find(place, approval))
    if json:
        output.as_json(_fields(row))
        return
    output.answer(f"approval {row.id}  {row.state}\ntask {row.task}, step {row.step}\ntool {row.tool}")
    output.answer(f"arguments (hash {row.args_hash[:16]}):\n{_pretty(row)}")
    output.answer(f"asked {_when(row.requested)}, expires {_when(row.expires)}")
    if row.decided is not None:
        word = "approved" if row.state == "consumed" else row.state
        output.answer(f"{word} by {row.decided_by} {_when(row.decided)}{f': {row.reason}' if row.reason else ''}")
    if row.consumed_by:
        output.answer(f"used by step {row.consumed_by}")


@app.command("approve")
def approve(
    approval: APPROVAL,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change an argument first: amount=3, /rows/0/name=Ada."),
    ] = None,
    reason: REASON = "",
    json: JSON = False,
) -> None:
    """Let it happen, once, with these very arguments."""
    _decide(approval, reason, approved=True, sets=tuple(change or ()), json=json)


@app.command("reject")
def reject(approval: APPROVAL, reason: REASON = "", json: JSON = False) -> None:
    """Do not let it happen; the agent is told so, with the reason, and goes on without."""
    _decide(approval, reason, approved=False, sets=(), json=json)


def _decide(identity: str, reason: str, *, approved: bool, sets: tuple[str, ...], json: bool) -> None:
    import asyncio

    from multiagent.app.decide import decide

    place = here()
    done = asyncio.run(decide(place, identity, approved=approved, reason=reason, sets=sets))
    tell(place, "approve" if approved else "reject", done, json=json)


def _fields(row: "ApprovalRow") -> dict[str, object]:
    import msgspec

    return {
        "approval": row.id,
        "task": row.task,
        "step": row.step,
        "tool": row.tool,
        "arguments": msgspec.Raw(row.arguments or b"null") if _is_json(row.arguments) else row.arguments.decode(),
        "arguments_hash": row.args_hash,
        "state": row.state,
        "requested": row.requested,
        "expires": row.expires,
        "decided_by": row.decided_by,
        "decided": row.decided,
        "reason": row.reason,
        "used_by": row.consumed_by,
    }


def _is_json(data: bytes) -> bool:
    import msgspec

    try:
        msgspec.json.decode(data or b"null")
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _pretty(row: "ApprovalRow") -> str:
    import msgspec

    if not _is_json(row.arguments):
        return row.arguments.decode("utf-8", "replace")
    return msgspec.json.format(row.arguments or b"{}", indent=2).decode()


def _when(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
