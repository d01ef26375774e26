"""``multiagent sandbox build|run``: the WASI runtime for code."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from multiagent.cli import exits, output
from multiagent.cli.home import here
from multiagent.core.errors import InvalidInput

app = typer.Typer(
    help="Build and try the sandbox that agents' code runs in.", no_args_is_help=True, rich_markup_mode=None
)

_LARGEST_PROGRAM = 1 << 20


@app.command("build")
def build(
    force: Annotated[bool, typer.Option("--force", help="Build again though it is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build the sandbox runtime, unless it is built already."""
    from multiagent.app.sandbox import build_runtime

    place = here()
    with output.Progress("sandbox runtime") as progress:
        artifact = build_runtime(place.cache, progress.show, force=force)
    if json:
        output.as_json(artifact)
    else:
        output.say(f"sandbox runtime ready ({artifact.size / 2**20:.0f} MiB)")


@app.command("run")
def run(
    file: Annotated[str, typer.Argument(help="A Python file, or - for standard input.")],
    grant: Annotated[
        list[str] | None,
        typer.Option("--grant", help="A folder the code may read, seen under its own path; DIR:rw to write."),
    ] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Seconds it may take.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print output, value and metrics as JSON.")] = False,
) -> int:
    """Run a Python program in the sandbox: no network, no processes, only granted folders."""
    import asyncio

    from multiagent.app.sandbox import run_program

    place = here()
    code = _program(file)
    result = asyncio.run(run_program(code, tuple(grant or ()), timeout, place.settings.sandbox, place.cache))
    if json:
        output.as_json(result)
    else:
        output.verbatim(result.stdout)
        output.error_text(result.stderr)
        if result.error is None and result.value not in {"", "null"}:
            output.answer(result.value)
        if result.error is not None:
            output.say(result.error.traceback or f"{result.error.type}: {result.error.message}")
    return exits.OK if result.error is None else exits.TASK_FAILED


def _program(file: str) -> str:
    try:
        data = sys.stdin.buffer.read(_LARGEST_PROGRAM + 1) if file == "-" else Path(file).read_bytes()
        if len(data) > _LARGEST_PROGRAM:
            raise InvalidInput(f"{file} is over 1 MiB; a program that large is not run")
        return data.decode("utf-8")
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text") from None
