"""The writes of time travel: a task begun as another's fork, a quarantined one let go."""

import msgspec

from multiagent.storage.sql.ops import Op, StoredResult


class ForkTask(Op, frozen=True, kw_only=True):
    """Begin a running task that shares another's past: its row and input, the journal before row ``cut``, the results
    named up to that row (marked inherited), and the events up to ``seq``, each under an id of the new task's. Answer:
    ``TaskForked``; where ``id`` is taken nothing is written. At cut 0 nothing is shared but ``input``.

    ``pending`` are steps that the parent had begun by then: they run again, their attempts go on being counted.
    ``edited`` replaces one of the results.
    """

    id: str
    parent: str
    cut: int
    seq: int
    time: int
    owner: str
    pending: tuple[str, ...] = ()
    edited: StoredResult | None = None
    input: bytes | None = None


class TaskForked(msgspec.Struct, frozen=True):
    """Whether this call made the fork, and how much it inherited."""

    created: bool
    results: int = 0
    events: int = 0


class ReleaseTask(Op, frozen=True, kw_only=True):
    """Let a quarantined task be running again. Answer: True where it was quarantined."""

    id: str
    time: int
