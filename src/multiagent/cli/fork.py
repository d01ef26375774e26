"""``multiagent fork``: another way from any point of a run, with its past free of charge."""

from typing import TYPE_CHECKING, Annotated

import typer

from multiagent.cli import output
from multiagent.cli.home import here
from multiagent.cli.steer import DETACH
from multiagent.core.errors import InvalidInput
from multiagent.core.money import usd
from multiagent.core.tier import tier as tier_of

if TYPE_CHECKING:
    from multiagent.app.forking import ForkAsk
    from multiagent.app.place import Place


def fork(
    task: Annotated[str, typer.Argument(help="The task whose past is taken.", metavar="TASK")],
    at: Annotated[str, typer.Option("--at", help="An event's number, or a step's key: just after its outcome.")] = "",
    edit: Annotated[
        list[str] | None, typer.Option("--set", help="STEP:POINTER=VALUE, in what that step answered; cuts there.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="This model from there on.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="small, medium or large from there on.")] = None,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", min=1, help="Most tokens the fork may use.")
    ] = None,
    budget_usd: Annotated[str | None, typer.Option("--budget-usd", help="Most dollars the fork may cost.")] = None,
    detach: DETACH = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> int:
    """Go another way from any point of a run: what was done by then is inherited and costs nothing."""
    import asyncio

    from multiagent.app.forking import ForkAsk

    if len(edit or ()) > 1:
        raise InvalidInput("a fork takes one --set, in the answer of the step it is cut at; for more fork the fork")
    wanted = ForkAsk(
        task,
        at,
        edit[0] if edit else "",
        model,
        None if tier is None else tier_of(tier),
        budget_tokens,
        None if budget_usd is None else usd(budget_usd),
    )
    place = here()
    return asyncio.run(_forked(place, wanted, output.Manner(json=json, quiet=quiet), alone=detach))


async def _forked(place: "Place", wanted: "ForkAsk", manner: output.Manner, *, alone: bool) -> int:

    from multiagent.app.forking import ask_fork
    from multiagent.cli.detached import left
    from multiagent.cli.session import Stay, ready
    from multiagent.cli.signals import until_stopped

    async def forked() -> int:
        await ready(place, manner)
        task, cut = await ask_fork(place, wanted)
        if not manner.quiet:
            output.say(f"task {task} takes the first {cut} outcomes of task {wanted.parent}")
        if alone:
            return await left(place, task, manner)
        return await Stay(place, task, manner, handed=True).to_its_end()

    return await until_stopped(forked())
