"""Time travel as records: a point of a run, what stood there, and what a fork changes.

A *cut* is an outcome boundary: cut ``n`` stands just after row ``n`` of the journal was fed, cut 0 before the first.
"""

import msgspec

from multiagent.core.outcome import Failure, OutcomeKind
from multiagent.core.settings import TaskSettings


class AtRow(msgspec.Struct, frozen=True):
    """The cut just after a journal row; 0 is the beginning."""

    n: int


Point = int | str | AtRow
"""A place in a run: an event's ``seq``, a step's key (just after its own outcome was fed), or a journal's row."""


class Published(msgspec.Struct, frozen=True):
    """What workflow code last published under a name."""

    name: str
    state: msgspec.Raw


class PendingStep(msgspec.Struct, frozen=True):
    """A step that was asked for and had no outcome yet."""

    key: str
    name: str
    input: msgspec.Raw


class OpenTimer(msgspec.Struct, frozen=True):
    """A timer that runs; ``left_ms`` is counted from the cut."""

    key: str
    left_ms: int


class RunState(msgspec.Struct, frozen=True):
    """What stands in a run, as its own code knows it. ``time`` is the ``now`` of its last outcome (ms UTC), ``emits``
    the number of events it has emitted, ``cuts`` the number of forks in its past.
    """

    time: int
    settings: TaskSettings
    published: tuple[Published, ...] = ()
    pending: tuple[PendingStep, ...] = ()
    timers: tuple[OpenTimer, ...] = ()
    waits_for: tuple[str, ...] = ()
    emits: int = 0
    cuts: int = 0
    paused: bool = False
    ended: bool = False

    def find(self, name: str) -> msgspec.Raw | None:
        """Return what is published under a name."""
        return next((one.state for one in self.published if one.name == name), None)


class Fed(msgspec.Struct, frozen=True):
    """The outcome that a cut stands after. A step's has its name, its input and its value or failure; a signal's value
    is text where it is no JSON.
    """

    kind: OutcomeKind
    key: str
    time: int
    step: str = ""
    input: msgspec.Raw = msgspec.Raw(b"null")
    value: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None


class Moment(msgspec.Struct, frozen=True):
    """A run at a cut: row ``cut`` of ``rows`` was the last one fed (``fed``; None at the beginning), when the task's
    newest event was ``event_seq``.
    """

    task: str
    cut: int
    rows: int
    event_seq: int
    state: RunState
    fed: Fed | None = None


class Edit(msgspec.Struct, frozen=True):
    """Put ``value`` (JSON) at ``pointer`` (RFC 6901) of what the cut's own step answered."""

    step: str
    pointer: str
    value: bytes


class Changes(msgspec.Struct, frozen=True):
    """What a fork does otherwise: settings from the cut on (None: as they were), an edit of the cut's own step."""

    settings: TaskSettings | None = None
    edit: Edit | None = None
