# mypy: ignore-errors
# ruff: noqa: INP001
"""Standard output and error of the guest: buffered, since a write to the host costs as much as 10,000 operations.

The first lines are written at once and later ones in blocks, so that a program that is stopped has shown most of
what it printed.
"""

import io
import sys

BLOCK = 1 << 16
EAGER = 100
EVERY = 64


class Lazy(io.BufferedWriter):
    """A buffered file that takes most requests to flush as a hint."""

    flushes = 0

    def flush(self) -> None:
        """Write what is buffered, if it is time."""
        self.flushes += 1
        if self.flushes <= EAGER or self.flushes % EVERY == 0:
            super().flush()

    def drain(self) -> None:
        """Write what is buffered."""
        super().flush()


def install() -> None:
    """Put fresh streams in place."""
    sys.stdin = sys.__stdin__ = io.StringIO("")
    sys.stdout = sys.__stdout__ = _open(1)
    sys.stderr = sys.__stderr__ = _open(2)


def flush() -> None:
    """Write all that a program has printed to the streams that the platform gave it."""
    for stream in (sys.stdout, sys.stderr, *_own):
        try:
            stream.flush()
            getattr(stream.buffer, "drain", stream.flush)()
        except BaseException:  # noqa: BLE001, S112 - a program may have closed or replaced it
            continue


_own: list[io.TextIOWrapper] = []


def _open(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    stream = io.TextIOWrapper(Lazy(raw, BLOCK), encoding="utf-8", errors="backslashreplace", line_buffering=True)
    _own.append(stream)
    return stream
