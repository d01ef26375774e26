"""``multiagent serve``: a process that works until it is asked to stop."""

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from multiagent.cli import exits, output
from multiagent.cli.home import LOAD, here
from multiagent.core.errors import InvalidInput

if TYPE_CHECKING:
    import asyncio

    from multiagent.app.place import Place
    from multiagent.app.vitals import Listening
    from multiagent.core.step import Queue

ROLES: Final = ("all", "orchestrator", "agent", "llm")


def serve(
    role: Annotated[str, typer.Argument(help="all, orchestrator, agent or llm.")] = "all",
    load: LOAD = None,
    json: Annotated[bool, typer.Option("--json", help="Print where it listens as JSON, on one line.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
) -> int:
    """Do the work of a service, or of all, until stopped; a first signal drains, a second one ends at once."""
    import asyncio
    import logging

    from multiagent.cli.signals import until_drained

    services = _services(role)
    manner = output.Manner(json=json, quiet=quiet)
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for talkative in ("alembic", "temporalio"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    place = here(load)
    return asyncio.run(until_drained(lambda stopped: _serve(place, services, stopped, manner)))


def _services(role: str) -> "tuple[Queue, ...]":
    from multiagent.app.roles import SERVICES

    if role not in ROLES:
        raise InvalidInput(f"there is no service {role!r}; there are {', '.join(ROLES)}")
    return SERVICES if role == "all" else tuple(one for one in SERVICES if one == role)


async def _serve(place: "Place", services: "tuple[Queue, ...]", stopped: "asyncio.Event", manner: output.Manner) -> int:
    from multiagent.app.serve import Serving, check_together, serve

    serving = Serving(place, services, os.environ, stopped)
    check_together(serving)
    if "agent" not in services or await _prepared(place, stopped, manner):
        await serve(serving, lambda listening: _tell(listening, manner))
    return exits.OK


async def _prepared(place: "Place", stopped: "asyncio.Event", manner: output.Manner) -> bool:
    """Build the sandbox's runtime where it is missing; return whether it was, before this process was stopped."""
    import asyncio

    from multiagent.cli.session import prepare

    building = asyncio.ensure_future(prepare(place, manner))
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((building, stopping), return_when=asyncio.FIRST_COMPLETED)
        if building.done():
            await building
            return True
        return False
    finally:
        for one in (building, stopping):
            one.cancel()
        await asyncio.wait((building, stopping))


def _tell(listening: "Listening", manner: output.Manner) -> None:
    if manner.json:
        output.json_line(listening)
    elif not manner.quiet:
        does = " ".join(listening.services)
        output.say(f"process {listening.pid} serves {does} ({listening.engine} engine); stop it with SIGTERM or Ctrl-C")
        output.say(f"  health  {listening.health}")
        output.say(f"  metrics {listening.metrics}")
