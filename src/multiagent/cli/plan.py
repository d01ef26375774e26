"""``multiagent plan``: what would run, and what it would probably cost, without running any agent."""

import os
from pathlib import Path
from typing import Annotated

import typer

from multiagent.cli import output
from multiagent.cli.home import LOAD, here
from multiagent.cli.run import read_query
from multiagent.core.tier import tier as tier_of


def plan(
    query: Annotated[str, typer.Argument(help="What would be asked; - reads it from standard input.")],
    attach: Annotated[
        list[str] | None, typer.Option("--attach", "-a", help="A file to work on; may be repeated.")
    ] = None,
    plan_file: Annotated[
        str | None, typer.Option("--plan", help="A file with a plan of your own: checked and estimated.")
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="small, medium or large.")] = None,
    load: LOAD = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> int:
    """Say how a query would be split among agents and what that would probably cost; no agent is run."""
    import asyncio

    from multiagent.app.ask import Ask
    from multiagent.cli.plan_view import shown
    from multiagent.cli.session import ask

    wanted = Ask(
        query=read_query(query),
        files=tuple(Path(file) for file in attach or ()),
        tier=None if tier is None else tier_of(tier),
        plan=None if plan_file is None else Path(plan_file),
        plan_only=True,
    )
    place = here(load)

    manner = output.Manner(json=json, quiet=quiet)
    return asyncio.run(ask(place, wanted, manner, shown(place.settings, wanted, os.environ)))
