"""What the kernel yields: things to do, facts to store, and the digest by which a replay is compared."""

import hashlib
from typing import Any

import msgspec

from multiagent.core.events import EventKind
from multiagent.core.outcome import Failure, Patch
from multiagent.core.step import StepDef


class RunStep(msgspec.Struct, frozen=True, gc=False):
    """Run a step. ``id`` is ``<key>~<hash8>``, under which its outcome is fed; ``payload`` is its input as JSON and
    ``input_hash`` the SHA-256 of name and input.
    """

    id: str
    key: str
    definition: StepDef[Any, Any]
    input: object
    payload: bytes
    input_hash: str

    def mark(self) -> bytes:
        """What a digest takes of it."""
        return f"step {self.id}".encode()


class CancelStep(msgspec.Struct, frozen=True, gc=False):
    """Stop a step; its outcome will be ignored, whatever it is."""

    id: str

    def mark(self) -> bytes:
        """What a digest takes of it."""
        return f"cancel {self.id}".encode()


class StartTimer(msgspec.Struct, frozen=True, gc=False):
    """Feed a timer outcome with this key once ``due`` (milliseconds UTC) has come."""

    key: str
    due: int
    seconds: float

    def mark(self) -> bytes:
        """What a digest takes of it; not ``due``, which follows from the outcome's time."""
        return f"timer {self.key} {self.seconds!r}".encode()


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    """Forget a timer."""

    key: str

    def mark(self) -> bytes:
        """What a digest takes of it."""
        return f"untimer {self.key}".encode()


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Store an event; ``key`` is ``w/<n>``."""

    key: str
    kind: EventKind
    payload: bytes
    time: int

    def mark(self) -> bytes:
        """What a digest takes of it; not ``time``, which is the outcome's."""
        return f"emit {self.key} {self.kind.value} ".encode() + self.payload


class Complete(msgspec.Struct, frozen=True, gc=False):
    """The workflow has returned: ``value`` is its output as JSON."""

    value: bytes

    def mark(self) -> bytes:
        """What a digest takes of it."""
        return b"complete " + self.value


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The workflow has raised; the code ``CANCELLED`` means that it was cancelled."""

    failure: Failure

    def mark(self) -> bytes:
        """What a digest takes of it; not the message, which may name an address in memory."""
        return f"fail {self.failure.code}".encode()


Action = RunStep | CancelStep | StartTimer | CancelTimer | Emit | Complete | Fail


class Yielded(msgspec.Struct, frozen=True):
    """What was yielded since the outcome before, in order; ``patches`` are the decisions taken meanwhile."""

    actions: tuple[Action, ...]
    patches: tuple[Patch, ...]

    @property
    def digest(self) -> str:
        """16 hex digits over the actions; the empty text where there are none."""
        if not self.actions:
            return ""
        marks = b"\0".join([action.mark() for action in self.actions])
        return hashlib.blake2b(marks, digest_size=8).hexdigest()
