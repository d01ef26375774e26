"""What a user submits, and what comes back: the records that every floor shares."""

from typing import Final, Literal

import msgspec

from multiagent.core.label import Labels
from multiagent.core.plan import Plan
from multiagent.core.principal import Principal
from multiagent.core.settings import TaskSettings
from multiagent.core.usage import Bill

TaskStatus = Literal["queued", "running", "waiting", "paused", "completed", "failed", "cancelled", "quarantined"]
FINISHED: Final[tuple[TaskStatus, ...]] = ("completed", "failed", "cancelled", "quarantined")
"""How tasks end."""


class Attachment(msgspec.Struct, frozen=True):
    """A file copied to objects at submit; ``object`` is its content address (SHA-256 of its bytes)."""

    name: str
    media_type: str
    size: int
    object: str
    labels: Labels = ()


class TaskInput(msgspec.Struct, frozen=True):
    """The start input of a task's workflow: small, frozen, by reference. ``seed`` (any text) seeds its randomness.

    ``plan`` is one that its user wrote; None: one is made. ``context`` is the head of what it is told of its session.
    ``vendors`` and ``loads`` are the model vendors and modules of the process that accepted it: one that lacks any of
    them does not go on with it.
    """

    task: str
    principal: Principal
    query: str
    attachments: tuple[Attachment, ...]
    settings: TaskSettings
    seed: str
    session: str = ""
    end_user: str = ""
    plan: Plan | None = None
    context: str = ""
    vendors: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """Where an answer's facts came from: an attachment's name, and which agents read it."""

    name: str
    kind: str
    used_by: tuple[str, ...] = ()


class TaskResult(msgspec.Struct, frozen=True):
    """The answer, with the bill; ``partial`` says that something is missing, ``missing`` what."""

    text: str
    sources: tuple[Source, ...] = ()
    data: dict[str, object] = {}
    artifacts: tuple[Attachment, ...] = ()
    bill: Bill = Bill()
    models: tuple[str, ...] = ()
    partial: bool = False
    missing: tuple[str, ...] = ()
