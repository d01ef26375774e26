"""``multiagent tasks cancel|…``: steering a task from any terminal, whichever process works on it."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from multiagent.cli import output
from multiagent.cli.home import here

if TYPE_CHECKING:
    from multiagent.app.leaving import Steered
    from multiagent.app.place import Place

TASK: TypeAlias = Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")]
REASON: TypeAlias = Annotated[str, typer.Option("--reason", help="Why; kept with the task.")]
DETACH: TypeAlias = Annotated[bool, typer.Option("--detach", "-d", help="In the background; print the id and leave.")]
QUIET: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands to ``multiagent tasks``."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("retry")(retry)
    app.command("unquarantine")(unquarantine)
    app.command("wait")(wait)
    app.command("answer")(answer)
    app.command("signal")(signal)
    app.command("query")(query)


def pause(task: TASK, reason: REASON = "", json: JSON = False) -> None:
    """Begin no new step of a task: running ones end and are kept, timers go on."""
    _steer("pause", task, reason, json=json)


def resume(task: TASK, json: JSON = False) -> None:
    """Go on with a paused task."""
    _steer("resume", task, "", json=json)


def cancel(task: TASK, reason: REASON = "", json: JSON = False) -> None:
    """Stop a task for good: its running steps are cancelled, its agents too."""
    _steer("cancel", task, reason, json=json)


def unquarantine(task: TASK, json: JSON = False) -> None:
    """Go on with a task that was quarantined, now that the code it drifted from is mended."""
    import asyncio

    from multiagent.app.forking import release

    place = here()
    tell(place, "unquarantine", asyncio.run(release(place, task)), json=json)


def retry(task: TASK, detach: DETACH = False, json: JSON = False, quiet: QUIET = False) -> int:
    """Do a task that failed or was cancelled once more, as a new one with the same input, linked to it."""
    import asyncio

    from multiagent.cli.detached import try_again

    place = here()
    return asyncio.run(try_again(place, task, output.Manner(json=json, quiet=quiet), alone=detach))


def wait(
    task: TASK,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help="At most so many seconds.")] = None,
    json: JSON = False,
) -> int:
    """Wait until a task has ended, whichever process works on it, and print its answer."""
    import asyncio

    from multiagent.app.look import look
    from multiagent.app.steer import ended
    from multiagent.cli import exits
    from multiagent.cli.attended import unattended
    from multiagent.cli.report import show

    place = here()
    if not place.attended() and not asyncio.run(ended(place, task, 0)):
        output.say(unattended(place, task))
    if not asyncio.run(ended(place, task, timeout)):
        output.say(f"task {task} has not ended within {timeout:g} s; it goes on")
        return exits.WAITING
    return show(asyncio.run(look(place, task)), output.Manner(json=json))


def answer(
    task: TASK,
    text: Annotated[str, typer.Argument(help="The answer.")],
    approval: Annotated[str, typer.Option("--question", help="The question's id, where there are several.")] = "",
    json: JSON = False,
) -> None:
    """Answer what an agent of a task asks its user: its oldest open question."""
    import asyncio

    from multiagent.app.decide import answer as give

    place = here()
    tell(place, "answer", asyncio.run(give(place, task, text, approval)), json=json)


def signal(
    task: TASK,
    name: Annotated[str, typer.Argument(help="The signal's name.")],
    value: Annotated[str, typer.Argument(help="Its value, as JSON.")] = "null",
    json: JSON = False,
) -> None:
    """Send a named signal to a task's workflow, from any terminal; it is taken once, also by one that waits later."""
    import asyncio

    import msgspec

    from multiagent.app.steer import steer
    from multiagent.orchestrator.signals import checked

    place = here()
    payload = msgspec.json.encode(checked(name, value))
    tell(place, "signal", asyncio.run(steer(place, "signal", task, payload)), json=json)


def query(
    task: TASK,
    name: Annotated[str, typer.Argument(help="What is asked for; all there is where it is left out.")] = "",
) -> None:
    """Print what a task's workflow has published last (its plan, its agents, its budget, beliefs), as JSON."""
    import asyncio

    from multiagent.app.travel import published

    place = here()
    output.as_json(asyncio.run(published(place, task, name)))


def _steer(kind: str, task: str, reason: str, *, json: bool) -> None:
    import asyncio

    from multiagent.app.steer import steer

    place = here()
    tell(place, kind, asyncio.run(steer(place, kind, task, reason.encode())), json=json)


def tell(place: "Place", kind: str, done: "Steered", *, json: bool) -> None:
    """Say what became of a command, and how to go on where nobody has taken it yet."""
    from multiagent.cli.attended import waits

    if json:
        output.as_json({"task": done.task, "command": done.command, "kind": kind, "delivered": done.delivered})
    elif done.delivered:
        output.say(f"{kind}: task {done.task} has it")
    if not done.delivered:
        output.say(f"{kind} is kept and waits (command {done.command}): {waits(place, done.task)}")
