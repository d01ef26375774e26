"""Turns a worker's reply into a result or a typed error. Pure.

The envelope inside a reply was written by the guest and is parsed as hostile: it can describe the program's own value
or exception and nothing else. Status and metrics are the host's.
"""

import msgspec

from multiagent.core.errors import (
    SandboxDenied,
    SandboxDisk,
    SandboxError,
    SandboxFuel,
    SandboxMemory,
    SandboxOutput,
    SandboxProtocol,
    SandboxStack,
    SandboxTimeout,
)
from multiagent.sandbox.base import GuestError, Limits, Metrics, RunResult
from multiagent.sandbox.frames import Reply, Status

# The guest's own error numbers (wasi-libc), which are not the host's.
WASI_EACCES, WASI_EFBIG, WASI_EPERM, WASI_ENOTCAPABLE = 2, 22, 63, 76
SHOWN = 2_000


class EnvelopeError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The guest's words about its program's exception."""

    type: str
    message: str
    traceback: str
    errno: int | None


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The guest's answer: ``value`` is JSON text."""

    value: str | None
    error: EnvelopeError | None


def judge(reply: Reply, limits: Limits) -> RunResult:
    """Return what the program left; raise the error of the limit it hit, or SandboxProtocol."""
    if reply.status is not Status.DONE:
        raise _stopped(reply, limits)
    envelope = _open(reply)
    if envelope.error is not None:
        limit = _limit_behind(envelope.error, reply, limits)
        if limit is not None:
            raise limit
    problem = envelope.error
    value = "null" if envelope.value is None else envelope.value
    if len(value.encode()) > limits.value_bytes:
        raise _stopped(msgspec.structs.replace(reply, status=Status.VALUE), limits)
    return RunResult(
        stdout=_text(reply.stdout),
        stderr=_text(reply.stderr),
        value=value,
        metrics=metrics_of(reply),
        error=None if problem is None else GuestError(problem.type, problem.message, problem.traceback),
    )


def metrics_of(reply: Reply) -> Metrics:
    """Return the host's measurements of a run."""
    return Metrics(
        fuel_used=reply.fuel_used,
        cpu_ms=round(reply.cpu_ms, 3),
        wall_ms=round(reply.wall_ms, 3),
        instantiate_ms=round(reply.instantiate_ms, 3),
        output_bytes=len(reply.stdout) + len(reply.stderr),
        peak_memory_bytes=reply.peak_memory_bytes,
    )


def _open(reply: Reply) -> Envelope:
    try:
        envelope = msgspec.json.decode(reply.envelope, type=Envelope)
        if envelope.value is not None:
            msgspec.json.decode(envelope.value)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise SandboxProtocol(
            f"the program's answer is not in the sandbox's own form ({error}); it was thrown away",
            details=_details(reply),
        ) from None
    return envelope


def _stopped(reply: Reply, limits: Limits) -> SandboxError:
    details = _details(reply)
    if reply.status is Status.DENIED:
        return SandboxDenied(reply.detail, details=details)
    if reply.status not in (reasons := _reasons(limits)):
        why = reply.detail or reply.status
        return SandboxError(f"the program ended its interpreter without an answer ({why})", details=details)
    kind, message = reasons[reply.status]
    return kind(message, details=details)


def _reasons(limits: Limits) -> dict[Status, tuple[type[SandboxError], str]]:
    mib = limits.memory_bytes >> 20
    return {
        Status.TIMEOUT: (
            SandboxTimeout,
            f"the program ran longer than {limits.timeout_s:g} s; make it faster or raise timeout_s",
        ),
        Status.FUEL: (
            SandboxFuel,
            f"the program used up its {limits.fuel:,} units of fuel; make it do less or raise fuel",
        ),
        Status.STACK: (SandboxStack, "the program nests too deeply for its stack; use a loop instead of recursion"),
        Status.OUTPUT: (
            SandboxOutput,
            f"the program wrote more than {limits.output_bytes:,} bytes; print less or raise output_bytes",
        ),
        Status.VALUE: (
            SandboxOutput,
            f"the program's value is over {limits.value_bytes:,} bytes as JSON; return less or raise value_bytes",
        ),
        Status.MEMORY: (SandboxMemory, f"the program needs more than {mib} MiB; use less memory or raise memory_bytes"),
    }


def _limit_behind(problem: EnvelopeError, reply: Reply, limits: Limits) -> SandboxError | None:
    """Name the limit that a program's exception stands for, if it stands for one.

    A program can raise these by itself; that harms nobody but the program.
    """
    details = {**_details(reply), "traceback": problem.traceback}
    reasons = _reasons(limits)
    if problem.type == "MemoryError":
        kind, message = reasons[Status.MEMORY]
        return kind(message, details=details)
    if problem.type == "RecursionError":
        kind, message = reasons[Status.STACK]
        return kind(message, details=details)
    if problem.errno == WASI_EFBIG:
        return SandboxDisk(disk_message(limits), details=details)
    if problem.type == "SandboxDenied" or problem.errno in (WASI_EACCES, WASI_EPERM, WASI_ENOTCAPABLE):
        return SandboxDenied(
            f"the program asked for what the sandbox does not grant ({problem.message}); "
            "use what is given, or have it granted",
            details=details,
        )
    return None


def disk_message(limits: Limits) -> str:
    """Say that a program wrote too much."""
    most = f"{limits.writable_bytes:,} bytes"
    return f"the program wrote more than {most} to its folders; write less or raise writable_bytes"


def _details(reply: Reply) -> dict[str, object]:
    return {
        "stdout": _text(reply.stdout)[-SHOWN:],
        "stderr": _text(reply.stderr)[-SHOWN:],
        "fuel_used": reply.fuel_used,
        "cpu_ms": round(reply.cpu_ms, 3),
        "wall_ms": round(reply.wall_ms, 3),
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
