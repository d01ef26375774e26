"""What a process that does not own the home leaves for the one that does."""

from dataclasses import dataclass

import msgspec

from multiagent.core.plan import Plan
from multiagent.core.settings import TaskSettings
from multiagent.core.task import Attachment, TaskInput


@dataclass(frozen=True, slots=True)
class Host:
    """What a process can do for tasks that others hand over, or began: the vendors it has keys for, the policy it runs,
    the modules (``module:name``) it has loaded tools and agents from.
    """

    pid: int = 0
    vendors: frozenset[str] = frozenset()
    policy_version: str = ""
    loads: frozenset[str] = frozenset()

    def lacks(self, task: bytes) -> str:
        """Return what this process lacks for a task of this input, and what to do; nothing where it can do it."""
        try:
            given = msgspec.json.decode(task, type=TaskInput)
        except (msgspec.MsgspecError, ValueError):
            return ""  # the engine says what is wrong with it
        if keyless := sorted(set(given.vendors) - self.vendors):
            names = ", ".join(keyless)
            return (
                f"this process has no key for {names}, which the task was accepted with; `multiagent doctor` names it"
            )
        if unloaded := sorted(set(given.loads) - self.loads):
            return f"this process has not loaded {', '.join(unloaded)}, which the task was accepted with; use --load"
        return ""


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
