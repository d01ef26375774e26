"""The terminal's door: ``multiagent``.

Commands are thin: each opens what it needs, does one thing and prints. This is the one place where errors become
exit codes and where an unexpected error is caught.
"""

import sys
import traceback

import typer
import typer.exceptions

from multiagent.cli import approvals, doctor, exits, output, replay, run, sandbox, tasks
from multiagent.core.errors import InvalidInput, PlatformError

app = typer.Typer(
    name="multiagent",
    help="Run teams of AI agents under a hard budget and a policy.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.add_typer(tasks.app, name="tasks")
app.command("replay")(replay.replay)
app.add_typer(approvals.app, name="approvals")
app.add_typer(sandbox.app, name="sandbox")
app.command("doctor")(doctor.doctor)


@app.command("version")
def show_version() -> None:
    """Print the version."""
    from importlib.metadata import version  # it loads the mail parser

    output.answer(version("multiagent"))


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    sys.exit(outcome(sys.argv[1:]))


def outcome(arguments: list[str]) -> int:
    """Run a command line; return its exit code, having printed whatever went wrong."""
    try:
        result = app(arguments, standalone_mode=False)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.exceptions.TyperException as error:
        return _usage(error.format_message(), json="--json" in arguments)
    except PlatformError as error:
        output.trouble(error, json="--json" in arguments)
        return exits.of_error(error)
    except (KeyboardInterrupt, typer.Abort):
        return exits.INTERRUPTED
    except output.OutputLostError as lost:
        if lost.reason:
            output.say(f"error OUTPUT_LOST: {lost.reason}")
        return lost.exit_code
    except Exception as error:  # noqa: BLE001 — the top loop: no traceback for the user, all of it in a file
        return _unexpected(error)
    return result if isinstance(result, int) else exits.OK


def _usage(message: str, *, json: bool) -> int:
    if message.startswith("Usage:"):
        output.say(message)
    elif json:
        output.trouble(InvalidInput(f"{message} (see multiagent --help)"), json=True)
    else:
        output.say(f"error INVALID_INPUT: {message}\nsee multiagent --help")
    return exits.USAGE


def _unexpected(error: Exception) -> int:
    from multiagent.cli.home import crash_file

    place = crash_file("".join(traceback.format_exception(error)))
    where = f"; the details are in {place}" if place else ""
    output.say(f"error INTERNAL: {type(error).__name__}: {error}{where}")
    return exits.INTERNAL


if __name__ == "__main__":
    main()
