"""A token bucket per endpoint: how long a call must wait for its turn. Pure; the caller brings the time and waits."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """``per_minute`` calls a minute on average, at most ``burst`` at once; times are monotonic seconds.

    Callers book in order: a booking may lie in the future, and tokens then go below zero (the generic cell rate
    algorithm, ITU-T I.371, in bucket form).
    """

    per_minute: float
    burst: float
    tokens: float = 0.0
    at: float | None = None

    def delay(self, now: float) -> float:
        """Return the seconds until one call may pass, without booking it."""
        self._fill(now)
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) * 60 / self.per_minute

    def take(self, now: float) -> float:
        """Book one call and return the seconds that it must wait."""
        wait = self.delay(now)
        self.tokens -= 1
        return wait

    def give_back(self) -> None:
        """Unbook a call that was never made."""
        self.tokens = min(self.burst, self.tokens + 1)

    def _fill(self, now: float) -> None:
        if self.at is None:
            self.tokens = self.burst
        elif now > self.at:
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_minute / 60)
        self.at = now
