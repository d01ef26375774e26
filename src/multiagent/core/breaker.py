"""A circuit breaker as a pure state machine: the caller brings the time and does the calls.

Closed → open after ``max_failures`` failures in a row; open → half-open after ``timeout``; half-open lets
``max_requests`` calls through, closes when all of them succeed and opens again when one fails. While closed, counts
are cleared every ``interval``. A *generation* is one stay in one state: results of calls begun in an earlier
generation are ignored (Nygard, "Release It!"; the same rules as sony/gobreaker documents).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from multiagent.core.errors import BreakerOpen

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Times in seconds; ``interval`` 0 never clears the counts of a closed breaker."""

    max_requests: int = 1
    interval: float = 60.0
    timeout: float = 60.0
    max_failures: int = 5


class Breaker:
    """One breaker. Not thread-safe: it belongs to one event loop."""

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        on_state_change: Callable[[str, State, State], None] | None = None,
    ) -> None:
        self.name = name
        self._policy = policy
        self._notify = on_state_change
        self._state: State = "closed"
        self._generation = 0
        self._requests = 0
        self._successes = 0
        self._failures_in_row = 0
        self._expiry = 0.0

    def state(self, now: float) -> State:
        """Return the state at ``now`` (monotonic seconds), moving on where its time is up."""
        if self._state == "open" and now >= self._expiry:
            self._move("half_open", now)
        elif self._state == "closed" and self._expiry and now >= self._expiry:
            self._next_generation(now)
        elif self._state == "closed" and not self._expiry and self._policy.interval:
            self._expiry = now + self._policy.interval
        return self._state

    def before(self, now: float) -> int:
        """Admit a call and return its generation; BreakerOpen where it is not admitted."""
        state = self.state(now)
        if state == "open":
            raise BreakerOpen(
                f"{self.name} failed {self._policy.max_failures} times in a row; "
                f"calls go on in {self._expiry - now:.0f} s",
                details={"name": self.name},
            )
        if state == "half_open" and self._requests >= self._policy.max_requests:
            raise BreakerOpen(
                f"{self.name} is being tried after failures; try again shortly", details={"name": self.name}
            )
        self._requests += 1
        return self._generation

    def after(self, generation: int, *, success: bool, now: float) -> None:
        """Record how an admitted call ended; ignored where its generation has passed."""
        state = self.state(now)
        if generation != self._generation:
            return
        if not success:
            self._failures_in_row += 1
            if state == "half_open" or self._failures_in_row >= self._policy.max_failures:
                self._move("open", now)
            return
        self._failures_in_row = 0
        self._successes += 1
        if state == "half_open" and self._successes >= self._policy.max_requests:
            self._move("closed", now)

    def release(self, generation: int) -> None:
        """Take back an admitted call that was abandoned before it could succeed or fail."""
        if generation == self._generation and self._requests > 0:
            self._requests -= 1

    def _move(self, state: State, now: float) -> None:
        before, self._state = self._state, state
        self._next_generation(now)
        if self._notify is not None:
            self._notify(self.name, before, state)

    def _next_generation(self, now: float) -> None:
        self._generation += 1
        self._requests = self._successes = self._failures_in_row = 0
        if self._state == "open":
            self._expiry = now + self._policy.timeout
        elif self._state == "closed":
            self._expiry = now + self._policy.interval if self._policy.interval else 0.0
        else:
            self._expiry = 0.0
