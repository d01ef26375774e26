"""``multiagent tasks cancel|…``: steering a task from any terminal, whichever process works on it."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from multiagent.cli import output
from multiagent.cli.home import here

TASK: TypeAlias = Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")]
REASON: TypeAlias = Annotated[str, typer.Option("--reason", help="Why; kept with the task.")]
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``multiagent tasks``."""
    app.command("cancel")(cancel)


def cancel(task: TASK, reason: REASON = "", json: JSON = False) -> None:
    """Stop a task for good: its running steps are cancelled, its agents too."""
    _steer("cancel", task, reason, json=json)


def _steer(kind: str, task: str, reason: str, *, json: bool) -> None:
    import asyncio

    from multiagent.app.steer import steer

    places, _ = here()
    done = asyncio.run(steer(Path(places.home), kind, task, reason.encode()))
    if json:
        output.as_json({"task": task, "command": done.command, "kind": kind, "delivered": done.delivered})
    elif done.delivered:
        output.say(f"{kind} is delivered to task {task}")
    if not done.delivered:
        waits = f"{kind} is kept and waits (command {done.command})"
        if done.owner is None:
            output.say(f"{waits}: no process works on this home. Go on with: multiagent tasks follow {task}")
        else:
            output.say(f"{waits}: process {done.owner} owns this home and is busy")
