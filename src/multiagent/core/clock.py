"""Where time comes from: an argument, never an import."""

from typing import Protocol


class Clock(Protocol):
    """Wall and monotonic time, and waiting. The real one is in ``app.system``, a manual one in ``testing``."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancelling the caller ends the wait."""
        ...
