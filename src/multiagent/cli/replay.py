"""``multiagent replay``: whether a history still is what today's code does; its state at a cut; a walk through it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from multiagent.cli import exits, output
from multiagent.cli.home import here
from multiagent.core.errors import InvalidInput

if TYPE_CHECKING:
    from multiagent.app.history import Verdict
    from multiagent.app.place import Place
    from multiagent.app.travel import Walk
    from multiagent.cli.stepper import Breakpoint


def replay(
    task: Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")],
    at: Annotated[
        str | None, typer.Option("--at", help="Show the state at an event's number or just after a step.")
    ] = None,
    step: Annotated[bool, typer.Option("--step", help="Step through it; off a terminal, print every step.")] = False,
    breaks: Annotated[
        list[str] | None, typer.Option("--break", help="Stop at agent=ID, tool=NAME or event=KIND; may be repeated.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Feed a task's recorded outcomes to today's code, without side effects: identical, or where it drifts."""
    import asyncio

    from multiagent.app.history import verify

    place = here()
    if at is not None and step:
        raise InvalidInput("--at shows one state and --step all of them; choose one")
    if breaks and not step:
        raise InvalidInput("--break goes with --step")
    if at is not None:
        return asyncio.run(_state(place, task, at, json=json))
    if step:
        from multiagent.cli.stepper import breakpoint_of

        return asyncio.run(_walk(place, task, [breakpoint_of(one) for one in breaks or ()], json=json))
    verdict = asyncio.run(verify(place, task))
    if json:
        output.as_json(verdict)
    else:
        output.answer(text(verdict))
    return exits.OK if verdict.identical else exits.DRIFTED


def text(verdict: "Verdict") -> str:
    """Return a verdict as lines."""
    if verdict.identical:
        state = "to its end" if verdict.ended else "as far as it got"
        server = f"; Temporal's own replay: {verdict.server}" if verdict.server else ""
        return f"task {verdict.task}: identical, {verdict.outcomes} outcomes replayed {state}{server}"
    lines = [f"task {verdict.task}: drifts at outcome {verdict.n} of {verdict.outcomes}"]
    if verdict.step:
        lines.append(f"  step      {verdict.step}")
    if verdict.recorded or verdict.found:
        lines.append(f"  recorded  {verdict.recorded or '(nothing was asked for)'}")
        lines.append(f"  today     {verdict.found or '(nothing is asked for)'}")
    return "\n".join([*lines, f"  {verdict.message}"])


async def _state(place: "Place", task: str, at: str, *, json: bool) -> int:
    from multiagent.app.travel import tour
    from multiagent.cli import travel_view as view

    walk = await tour(place, task)
    moment = walk.moment(walk.cut(at))
    if json:
        output.as_json(view.moment_json(moment))
    else:
        output.answer(view.moment(moment))
    return exits.OK


async def _walk(place: "Place", task: str, breaks: "list[Breakpoint]", *, json: bool) -> int:
    from multiagent.app.travel import tour, transcript
    from multiagent.cli.stepper import Stepper

    walk = await tour(place, task)
    if json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return await _whole(place, walk, breaks, json=json)
    await Stepper(walk, lambda head: transcript(place, head), Keyboard(), breaks).run()
    return exits.OK


async def _whole(place: "Place", walk: "Walk", breaks: "list[Breakpoint]", *, json: bool) -> int:
    """Print every step, or those at breakpoints where there are any."""
    from multiagent.app.travel import transcript
    from multiagent.cli import travel_view as view

    for stop in walk.stops:
        if breaks and not any(one.hits(stop) for one in breaks):
            continue
        messages = await transcript(place, stop.head)
        if json:
            output.json_line(view.scene_json(stop, messages))
        else:
            output.answer(view.scene(stop, messages))
    return exits.OK


class Keyboard:
    """The terminal's own keyboard and screen."""

    def ask(self, prompt: str) -> str | None:
        """Return the next line without its end; None at the end of input."""
        sys.stdout.write(prompt)
        sys.stdout.flush()
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None

    def show(self, text: str) -> None:
        """Print."""
        output.answer(text)
