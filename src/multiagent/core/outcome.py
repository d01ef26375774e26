"""What is fed to a workflow, one at a time, and the record of it that replay reads."""

from typing import Literal

import msgspec

from multiagent.core.errors import Cancelled, PlatformError, StepFailed

OutcomeKind = Literal["result", "failed", "timer", "signal", "settings", "end"]


class Failure(msgspec.Struct, frozen=True):
    """An error as data."""

    code: str
    message: str
    retryable: bool = False
    details: dict[str, object] = {}

    def error(self) -> StepFailed:
        """Return the exception that workflow code gets to see."""
        return StepFailed(self.code, self.message, retryable=self.retryable, details=self.details)


class Patch(msgspec.Struct, frozen=True):
    """A decision of ``ctx.patched``: its id and what it answered."""

    id: str
    taken: bool


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of a journal.

    ``key`` is ``<step key>~<hash8 of name and input>``, ``timer/<n>``, ``<signal name>~<its id>``, or empty.
    ``digest`` hashes the actions and emits that the workflow yielded since the outcome before; the row of kind ``end``
    hashes the last. ``patches`` are the decisions that its own feeding led to; the first row has those before it, too.
    ``value`` holds signals, settings and the result of ``end``; step results are in their own table, found by key.
    """

    n: int
    kind: OutcomeKind
    key: str
    time: int
    value: bytes = b""
    digest: str = ""
    patches: tuple[Patch, ...] = ()
    event_seq: int = 0


def failure(error: BaseException) -> Failure:
    """Return an error as data; one that is not of the platform's tree becomes ``INTERNAL`` with its type and text."""
    if isinstance(error, PlatformError):
        return Failure(error.code, error.message, error.retryable, error.details)
    if isinstance(error, Cancelled):
        return Failure("CANCELLED", str(error) or "cancelled")
    return Failure("INTERNAL", f"{type(error).__name__}: {error}")
