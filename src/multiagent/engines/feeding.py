"""A run's kernel as it is fed live: its rows numbered, timed and digested in one way on every engine. Pure."""

import msgspec

from multiagent.core.outcome import Outcome, OutcomeKind
from multiagent.engines.actions import Yielded
from multiagent.engines.kernel import Kernel, Value


class Feed:
    """``tail`` is what the kernel has yielded since the last row (``n``, at ``time`` in ms UTC)."""

    __slots__ = ("kernel", "n", "tail", "time")

    def __init__(self, kernel: Kernel, tail: Yielded, n: int, time: int) -> None:
        self.kernel = kernel
        self.tail = tail
        self.n = n
        self.time = time

    def tick(self, now: int) -> int:
        """Take note of the time; return it, never earlier than the last."""
        self.time = max(self.time, now)
        return self.time

    def feed(self, kind: OutcomeKind, key: str, carried: bytes = b"", value: Value = None) -> Outcome:
        """Feed one outcome; return its row. What it led to is the new ``tail``."""
        row = self._row(kind, key, carried)
        self.kernel.feed(row, value)
        self.tail = self.kernel.take()
        if self.tail.patches:  # with the row that led to them: after a crash no later one may be there
            row = msgspec.structs.replace(row, patches=row.patches + self.tail.patches)
        return row

    def end(self, status: str, value: bytes) -> Outcome:
        """Return the last row."""
        return self._row("end", status, value)

    def _row(self, kind: OutcomeKind, key: str, carried: bytes) -> Outcome:
        self.n += 1
        first = self.tail.patches if self.n == 1 else ()  # decided before there was a row
        return Outcome(self.n, kind, key, self.time, carried, self.tail.digest, first)
