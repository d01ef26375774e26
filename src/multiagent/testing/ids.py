"""Ids that count, so that tests are repeatable."""

from multiagent.core.ids import ulid


class CountedIds:
    """ULIDs of a fixed time with a counted random part."""

    def __init__(self, time_ms: int = 1_750_000_000_000, start: int = 0) -> None:
        self._time = time_ms
        self._next = start

    def __call__(self) -> str:
        """Return the next id."""
        self._next += 1
        return ulid(self._time, self._next)
