"""Errors that cross to Temporal and back: by code, with what programs need of them; and what its server refuses."""

from typing import Final

import msgspec
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TimeoutType,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeout,
)
from temporalio.service import RPCError, RPCStatusCode

from multiagent.core.errors import EngineError, EngineUnavailable, NotFound, PlatformError
from multiagent.core.outcome import Failure

CANCELLED: Final = Failure("CANCELLED", "the step was cancelled by its workflow")
START_TO_CLOSE: Final = "TemporalTimeout:StartToClose"
"""The type under which a retry policy knows a step that ran past its time."""
_PASSING: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.UNKNOWN,
        RPCStatusCode.INTERNAL,
    }
)


class Carried(msgspec.Struct, frozen=True):
    """What an error carries besides its code and message."""

    retryable: bool = False
    details: dict[str, object] = {}


def to_temporal(failure: Failure) -> ApplicationError:
    """Return a failure as Temporal takes it: final, since our own wrapper has done all the retries."""
    carried = Carried(failure.retryable, failure.details)
    return ApplicationError(failure.message, carried, type=failure.code, non_retryable=True)


def from_temporal(error: BaseException) -> Failure:
    """Return what an activity's error, as a workflow sees it, was before it crossed."""
    cause = error.__cause__ if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError):
        return _of_application(cause)
    if isinstance(cause, CancelledError):
        return CANCELLED
    if isinstance(cause, TemporalTimeout):
        return _of_timeout(error, cause)
    return Failure("INTERNAL", f"{type(cause).__name__}: {cause}")


def _of_application(cause: ApplicationError) -> Failure:
    carried = Carried()
    if cause.details:
        try:
            carried = msgspec.convert(cause.details[0], Carried)
        except msgspec.ValidationError:
            carried = Carried()
    return Failure(cause.type or "INTERNAL", cause.message, carried.retryable, carried.details)


def _of_timeout(error: BaseException, cause: TemporalTimeout) -> Failure:
    step = error.activity_id.rpartition("~")[0] if isinstance(error, ActivityError) else ""
    if cause.type is TimeoutType.START_TO_CLOSE:
        return Failure("STEP_DEADLINE", f"step {step} did not end within its time, and its worker did not stop it")
    kind = cause.type.name.lower() if cause.type is not None else "unknown"
    return Failure("STEP_TIMEOUT", f"step {step} was given up by the server ({kind})", retryable=True)


def of_rpc(error: RPCError, address: str, what: str) -> PlatformError:
    """Return what a refused or failed call of the server means here; ``what`` was to be done."""
    if error.status is RPCStatusCode.NOT_FOUND and error.message.startswith("Namespace "):
        return EngineError(
            f"the Temporal server at {address} has no such namespace; create it with `temporal operator namespace "
            "create --namespace NAME`, or set temporal.namespace"
        )
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFound(f"the Temporal server at {address} does not know {what}")
    if error.status in _PASSING:
        return unreachable(address, what)
    return EngineError(f"the Temporal server at {address} refused {what}: {error.status.name}")


def unreachable(address: str, what: str) -> EngineUnavailable:
    """Return the error of a server that does not answer."""
    return EngineUnavailable(
        f"the Temporal server at {address} does not answer ({what}); is it running? start it with "
        "`temporal server start-dev --db-filename temporal.db`, or set temporal.address"
    )
