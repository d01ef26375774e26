"""Exponential backoff with jitter, as arithmetic: the caller sleeps, and brings its own randomness."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of ``base * factor**attempt`` seconds up to ``most``, plus up to ``jitter`` of that at random."""

    base: float = 0.2
    factor: float = 2.0
    most: float = 30.0
    jitter: float = 0.1

    def delay(self, attempt: int, unit: float) -> float:
        """Return the seconds to wait after a failed attempt (counted from 0); ``unit`` is random in [0, 1)."""
        plain = self.base
        for _ in range(attempt):
            plain = min(self.most, plain * self.factor)
        return min(self.most, plain) * (1 + self.jitter * unit)


def retries_within(backoff: Backoff, attempts: int, deadline: float) -> bool:
    """Tell whether ``attempts`` waits, each with its full jitter, still end before ``deadline`` seconds."""
    return sum(backoff.delay(attempt, 1.0) for attempt in range(attempts)) < deadline
