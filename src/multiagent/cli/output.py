"""What goes where: answers and JSON on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

import msgspec

from multiagent.core.errors import PlatformError


class Manner(msgspec.Struct, frozen=True):
    """How a command prints: JSON or text, with or without progress."""

    json: bool = False
    quiet: bool = False


def say(text: str) -> None:
    """Print a line for people, on stderr."""
    _write(sys.stderr, text)


def answer(text: str) -> None:
    """Print the answer, on stdout."""
    _write(sys.stdout, text)


def as_json(value: object) -> None:
    """Print one JSON document, on stdout."""
    _write(sys.stdout, msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def json_line(value: object) -> None:
    """Print one JSON document on one line, on stdout."""
    _write(sys.stdout, msgspec.json.encode(value).decode())


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
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


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
            sys.stderr.write("\n")
            sys.stderr.flush()

    def show(self, stage: str, fraction: float) -> None:
        """Show how far it is (0 to 1). A first use that finds all ready says nothing."""
        if self._silent_ready and fraction >= 1 and not self._stage and not self._drawn:
            return
        if self._live:
            full = round(self._WIDTH * min(1.0, max(0.0, fraction)))
            bar = "█" * full + "░" * (self._WIDTH - full)
            sys.stderr.write(f"\r\x1b[K{self._title} {bar} {fraction * 100:3.0f}% {stage}")
            sys.stderr.flush()
            self._drawn = True
        elif stage != self._stage:
            self._stage = stage
            say(f"{self._title}: {stage}")


def _write(stream: TextIO, text: str) -> None:
    data = (text + "\n").encode("utf-8", "replace")
    stream.flush()
    binary = getattr(stream, "buffer", None)
    if binary is None:
        stream.write(text + "\n")
    else:
        binary.write(data)
    stream.flush()
