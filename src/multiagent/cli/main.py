"""The terminal's door: ``multiagent``.

Commands are thin: each opens what it needs, does one thing and prints. This is the one place where errors become
exit codes and where an unexpected error is caught. What commands need is loaded once signals are caught, so that one
that comes early leaves no traceback; before that nothing is loaded but what the interpreter has loaded already.
"""

import os
import sys


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    try:
        _load()
    except KeyboardInterrupt:
        os._exit(130)
    code = outcome(sys.argv[1:])
    if "temporalio" in sys.modules:
        _at_once(code)
    sys.exit(code)


def _load() -> None:
    """Load the commands, left at once by a signal; from then on one stops what is under way, in good order."""
    import signal

    def leave(number: int, _frame: object) -> None:
        os._exit(128 + number)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    from multiagent.cli import commands, signals  # noqa: F401 - what outcome runs

    signals.catch()


def _at_once(code: int) -> None:
    """Leave without taking the interpreter apart: threads of Temporal's client may take it down while that goes on."""
    import contextlib
    import logging

    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def outcome(arguments: list[str]) -> int:
    """Run a command line; return its exit code, having printed whatever went wrong."""
    import typer
    import typer.exceptions

    from multiagent.cli import exits, output
    from multiagent.cli.commands import app
    from multiagent.core.errors import PlatformError

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
    from multiagent.cli import exits, output
    from multiagent.core.errors import InvalidInput

    if message.startswith("Usage:"):
        output.say(message)
    elif json:
        output.trouble(InvalidInput(f"{message} (see multiagent --help)"), json=True)
    else:
        output.say(f"error INVALID_INPUT: {message}\nsee multiagent --help")
    return exits.USAGE


def _unexpected(error: Exception) -> int:
    import traceback

    from multiagent.cli import exits, output
    from multiagent.cli.home import crash_file

    place = crash_file("".join(traceback.format_exception(error)))
    where = f"; the details are in {place}" if place else ""
    output.say(f"error INTERNAL: {type(error).__name__}: {error}{where}")
    return exits.INTERNAL


if __name__ == "__main__":
    main()
