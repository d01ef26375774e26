"""The facts of a run on their way to storage, pure: told once, carried until somebody who stored them has answered.

Facts are numbered over the whole run. Whoever is loaded takes all that nobody has acknowledged yet, so that each
carrier brings everything before its own newest fact; a carrier that has answered acknowledges all that it had.
"""

from collections import deque
from typing import Final

from multiagent.core.events import EventDraft
from multiagent.core.outcome import Outcome
from multiagent.core.task import TaskStatus
from multiagent.engines.temporal.records import Fed, Riders, Told

HEAVY: Final = 64 * 1024
"""Facts of more bytes, all together, are not carried again and again: they go by themselves."""
_HEADER: Final = 128
"""Bytes of a fact besides what it holds, roughly."""


class Carriage:
    """The facts nobody has acknowledged, what the task's row is to show, and who is on the way with which of them."""

    __slots__ = ("_at", "_away", "_facts", "_first", "_known", "_shown", "_turns", "size")

    def __init__(self, at: int) -> None:
        self._facts: deque[tuple[Told | Fed, int]] = deque()
        self._first = 1
        self._at = at
        self._away: dict[str, tuple[int, int]] = {}
        self._shown: tuple[TaskStatus | None, str] = (None, "")
        self._turns = 0
        self._known = 0
        self.size = 0

    def tell(self, event: EventDraft) -> None:
        """Take an event."""
        self._add(Told(event), len(event.payload))

    def feed(self, outcome: Outcome) -> None:
        """Take a row of the journal."""
        self._at = outcome.n
        self._add(Fed(outcome), len(outcome.value))

    def show(self, status: TaskStatus, waits_for: str, *, again: bool = False) -> None:
        """Let the task's row say this from the newest row on; ``again``: also where it was said last."""
        if again or (status, waits_for) != self._shown:
            self._shown = status, waits_for
            self._turns += 1

    def load(self, carrier: str) -> Riders:
        """Return all that is not acknowledged, and note who is on the way with it."""
        self._away[carrier] = self._last, self._turns
        status, waits_for = self._shown if self._turns > self._known else (None, "")
        return Riders(self._first, tuple(fact for fact, _ in self._facts), status, waits_for, self._at)

    def arrived(self, carrier: str) -> None:
        """A carrier has answered: what it had is stored."""
        last, turn = self._away.pop(carrier)
        self._known = max(self._known, turn)
        while self._first <= last:
            _, size = self._facts.popleft()
            self.size -= size
            self._first += 1

    def lost(self, carrier: str) -> None:
        """A carrier has failed or was stopped: what it had may be stored or not."""
        del self._away[carrier]

    @property
    def heavy(self) -> bool:
        """Whether there is too much to be carried by every step."""
        return self.size > HEAVY

    @property
    def stranded(self) -> bool:
        """Whether something is on its way with nobody."""
        last = max([self._first - 1, *(last for last, _ in self._away.values())])
        turn = max([self._known, *(turn for _, turn in self._away.values())])
        return self._last > last or self._turns > turn

    @property
    def empty(self) -> bool:
        """Whether everything is acknowledged."""
        return not self._facts and self._turns == self._known

    @property
    def _last(self) -> int:
        return self._first + len(self._facts) - 1

    def _add(self, fact: Told | Fed, size: int) -> None:
        self._facts.append((fact, size + _HEADER))
        self.size += size + _HEADER
