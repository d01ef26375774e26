"""What a process that does not own the home leaves for the one that does."""

import msgspec

from multiagent.core.plan import Plan
from multiagent.core.settings import TaskSettings
from multiagent.core.task import Attachment


class Handover(msgspec.Struct, frozen=True):
    """A task to accept: the payload of a ``submit`` row in the inbox, whose id becomes the task's.

    Attachments are in objects already. ``settings`` are complete but for the policy version, which is the owner's.
    ``vendors`` are the model vendors that the sender has keys for: an owner without one of them refuses the task.
    So does one that has not loaded all of ``loads`` (``module:name``).
    ``plan`` is one that the user wrote. ``recalled`` are names of files of the session that are used again;
    ``context`` is set by the owner: the head of what the task is told of its session.
    """

    query: str
    attachments: tuple[Attachment, ...] = ()
    settings: TaskSettings = TaskSettings()
    session: str = ""
    session_tokens: int | None = None
    end_user: str = ""
    idempotency_key: str = ""
    parent: str = ""
    root: str = ""
    loads: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()
    plan: Plan | None = None
    recalled: tuple[str, ...] = ()
    context: str = ""
