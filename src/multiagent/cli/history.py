"""``multiagent history``: histories in files, to keep, to hand on, and to check new code against."""

from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import typer

from multiagent.cli import exits, output, replay
from multiagent.cli.home import here

app = typer.Typer(
    help="Export histories; check them against today's code.", no_args_is_help=True, rich_markup_mode=None
)
JSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("export")
def export(
    task: Annotated[str, typer.Argument(help="A task's id.", metavar="TASK")],
    file: Annotated[str, typer.Argument(help="The file to write.", metavar="FILE")],
    no_messages: Annotated[
        bool, typer.Option("--no-messages", help="Without what was said; a check needs none of it.")
    ] = False,
    json: JSON = False,
) -> None:
    """Write a task's history to a file: everything that replays it, apart from any home."""
    import asyncio

    from multiagent.app import exported

    place = here()
    size = asyncio.run(exported.export(place, task, Path(file), messages=not no_messages))
    if json:
        output.as_json({"task": task, "file": file, "bytes": size})
    else:
        output.say(f"{file}: the history of task {task}, {size:,} bytes")


@app.command("check")
def check(
    files: Annotated[list[str], typer.Argument(help="Exported histories.", metavar="FILE…")], json: JSON = False
) -> int:
    """Feed exported histories to today's code: identical, or where it drifts."""
    from multiagent.app import exported

    verdicts = [(file, exported.check(Path(file))) for file in files]
    if json:
        output.as_json([{"file": file} | msgspec.structs.asdict(verdict) for file, verdict in verdicts])
    else:
        for file, verdict in verdicts:
            output.answer(f"{file}: {replay.text(verdict)}")
    return exits.OK if all(verdict.identical for _, verdict in verdicts) else exits.DRIFTED
