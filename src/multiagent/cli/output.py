"""What goes where: answers and JSON on stdout, everything else on stderr."""

import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TextIO

import msgspec

from multiagent.cli import exits
from multiagent.core.errors import PlatformError

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Manner(msgspec.Struct, frozen=True):
    """How a command prints: JSON or text, with or without progress."""

    json: bool = False
    quiet: bool = False


class OutputLostError(Exception):
    """Standard output takes no more. ``exit_code`` is what to end with, ``reason`` empty where its reader left."""

    def __init__(self, exit_code: int, reason: str) -> None:
        super().__init__(reason)
        self.exit_code = exit_code
        self.reason = reason


def say(text: str) -> None:
    """Print a line for people, on stderr. Nobody reading it stops no work."""
    error_text(plain(text) + "\n")


def error_text(text: str) -> None:
    """Write text as it is to stderr, if that is there and takes it."""
    if sys.stderr is None:
        return
    try:
        _write(sys.stderr, text)
    except OSError:
        _give_up(sys.stderr)


def answer(text: str) -> None:
    """Print the answer, on stdout."""
    _print(plain(text) + "\n")


def verbatim(text: str) -> None:
    """Write what a user's own program printed, as it is, to stdout."""
    _print(text)


def as_json(value: object) -> None:
    """Print one JSON document, on stdout."""
    _print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def json_line(value: object) -> None:
    """Print one JSON document on one line, on stdout."""
    _print(msgspec.json.encode(value).decode() + "\n")


def trouble(error: PlatformError, *, json: bool) -> None:
    """Print an error: its code and what to do; as JSON on stdout where JSON was asked for."""
    if json:
        details: Mapping[str, object] = error.details
        as_json(
            {"error": {"code": error.code, "message": error.message, "retryable": error.retryable, "details": details}}
        )
    else:
        say(f"error {error.code}: {error.message}")


def colored() -> bool:
    """Whether stderr is a terminal that may show colours and redraw lines (https://no-color.org)."""
    return (
        sys.stderr is not None
        and sys.stderr.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


class Progress:
    """A progress bar on stderr: one line redrawn on a terminal, else a line a stage."""

    _WIDTH = 28

    def __init__(self, title: str, *, first_use: bool = False) -> None:
        self._title = title
        self._silent_ready = first_use
        self._live = colored()
        self._stage = ""
        self._drawn = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the line."""
        if self._drawn:
            error_text("\n")

    def show(self, stage: str, fraction: float) -> None:
        """Show how far it is (0 to 1). A first use that finds all ready says nothing."""
        if self._silent_ready and fraction >= 1 and not self._stage and not self._drawn:
            return
        if self._live:
            full = round(self._WIDTH * min(1.0, max(0.0, fraction)))
            bar = "█" * full + "░" * (self._WIDTH - full)
            error_text(f"\r\x1b[K{self._title} {bar} {fraction * 100:3.0f}% {stage}")
            self._drawn = True
        elif stage != self._stage:
            self._stage = stage
            say(f"{self._title}: {stage}")


def plain(text: str) -> str:
    """Return text without control characters but for line ends and tabs: content from outside steers no terminal."""
    return _CONTROL.sub("", text)


def _print(text: str) -> None:
    """Write to stdout; a reader that has gone, or a full disk behind it, ends the command."""
    if sys.stdout is None:
        raise OutputLostError(128 + signal.SIGPIPE, "standard output is closed")
    try:
        sys.stdout.flush()
        _write(sys.stdout, text)
    except BrokenPipeError:
        _give_up(sys.stdout)
        raise OutputLostError(128 + signal.SIGPIPE, "") from None
    except OSError as error:
        _give_up(sys.stdout)
        raise OutputLostError(exits.STORAGE, f"standard output cannot be written: {error.strerror}") from None


def _write(stream: TextIO, text: str) -> None:
    binary = getattr(stream, "buffer", None)
    if binary is None:
        stream.write(text)
    else:
        binary.write(text.encode("utf-8", "replace"))
    stream.flush()


def _give_up(stream: TextIO) -> None:
    """Let what is left in a stream's buffer go nowhere, so that the end of the process does not fail on it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
