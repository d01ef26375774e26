"""``multiagent run``: one query in, one answer with its bill out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from multiagent.cli import output
from multiagent.cli.home import LOAD, here
from multiagent.cli.steer import DETACH
from multiagent.core.errors import InvalidInput
from multiagent.core.money import usd
from multiagent.core.plan import strategy as strategy_of
from multiagent.core.tier import tier as tier_of

_LARGEST_QUERY = 1 << 20
_MOST_TOKENS = 10**12
_MOST_AGENTS = 100


def run(
    query: Annotated[str, typer.Argument(help="What is asked; - reads it from standard input.")],
    attach: Annotated[
        list[str] | None, typer.Option("--attach", "-a", help="A file to work on; may be repeated.")
    ] = None,
    budget_tokens: Annotated[int | None, typer.Option("--budget-tokens", help="Most tokens the task may use.")] = None,
    budget_usd: Annotated[str | None, typer.Option("--budget-usd", help="Most dollars the task may cost.")] = None,
    tier: Annotated[
        str | None, typer.Option("--tier", help="small, medium or large; chosen by complexity if not given.")
    ] = None,
    max_agents: Annotated[int | None, typer.Option("--max-agents", help="Agents at work at the same time.")] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", help="A file with a plan of your own (YAML or JSON); none is made then.")
    ] = None,
    load: LOAD = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="How agents work: direct, iterative, collaborative or auto.")
    ] = None,
    require_approval: Annotated[
        bool, typer.Option("--require-approval", help="Agents start once a person has approved the plan.")
    ] = False,
    session: Annotated[
        str | None, typer.Option("--session", help="The session it belongs to: it knows of the tasks before it.")
    ] = None,
    ask_user: Annotated[bool, typer.Option("--ask-user", help="Agents may ask you; see: tasks answer.")] = False,
    detach: DETACH = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> int:
    """Run a query with a team of agents and print the answer with its full bill."""
    import asyncio

    from multiagent.app.ask import Ask
    from multiagent.cli import detached
    from multiagent.cli import session as stay

    within("--budget-tokens", budget_tokens, _MOST_TOKENS)
    within("--max-agents", max_agents, _MOST_AGENTS)
    files, recalled = _files(attach or [], in_session=bool(session))
    wanted = Ask(
        query=read_query(query),
        files=files,
        session=session or "",
        recalled=recalled,
        tokens=budget_tokens,
        pico=None if budget_usd is None else usd(budget_usd),
        tier=None if tier is None else tier_of(tier),
        max_agents=max_agents,
        plan=None if plan is None else Path(plan),
        strategy=None if strategy is None else strategy_of(strategy),
        require_approval=require_approval,
        ask_user=ask_user,
    )
    place = here(load)
    do = detached.detach if detach else stay.ask
    return asyncio.run(do(place, wanted, output.Manner(json=json, quiet=quiet)))


def within(option: str, value: int | None, most: int) -> None:
    """Raise InvalidInput where an option's number is below 1 or above the most."""
    if value is not None and not 1 <= value <= most:
        raise InvalidInput(f"{option} must be at least 1 and at most {most:,}, not {value}")


def _files(attach: list[str], *, in_session: bool) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files there are, and in a session the names of those that it may remember."""
    known = [one for one in attach if in_session and Path(one).name == one and not Path(one).exists()]
    return tuple(Path(one) for one in attach if one not in known), tuple(known)


def read_query(text: str) -> str:
    """Return the query, from standard input where it is ``-``; InvalidInput where that is no text."""
    if text != "-":
        return text
    data = sys.stdin.buffer.read(_LARGEST_QUERY + 1)
    if len(data) > _LARGEST_QUERY:
        raise InvalidInput("the query on standard input is over 1 MiB; attach long texts with --attach")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput("the query on standard input is not UTF-8 text") from None
