"""``multiagent replay``: whether a task's history still is what today's code does."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiagent.cli import exits, output
from multiagent.cli.home import here

if TYPE_CHECKING:
    from multiagent.app.history import Verdict


def replay(
    task: Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Feed a task's recorded outcomes to today's code, without side effects: identical, or where it drifts."""
    import asyncio

    from multiagent.app.history import verify

    places, _ = here()
    verdict = asyncio.run(verify(Path(places.home), task))
    if json:
        output.as_json(verdict)
    else:
        output.answer(text(verdict))
    return exits.OK if verdict.identical else exits.DRIFTED


def text(verdict: "Verdict") -> str:
    """Return a verdict as lines."""
    if verdict.identical:
        state = "to its end" if verdict.ended else "as far as it got"
        return f"task {verdict.task}: identical, {verdict.outcomes} outcomes replayed {state}"
    lines = [f"task {verdict.task}: drifts at outcome {verdict.n} of {verdict.outcomes}"]
    if verdict.step:
        lines.append(f"  step      {verdict.step}")
    if verdict.recorded or verdict.found:
        lines.append(f"  recorded  {verdict.recorded or '(nothing was asked for)'}")
        lines.append(f"  today     {verdict.found or '(nothing is asked for)'}")
    return "\n".join([*lines, f"  {verdict.message}"])
