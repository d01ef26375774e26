"""Operations on what is kept: what sessions remember, and what retention takes away."""

from multiagent.storage.sql.ops import Op


class RememberTurn(Op, frozen=True, kw_only=True):
    """Add a task to what a session remembers, or replace it there; ``turn`` is JSON. An unknown session stays so."""

    session: str
    task: str
    turn: bytes
    time: int


class ReplaceMemory(Op, frozen=True, kw_only=True):
    """Put ``after`` in the place of ``before``, all that a session remembers. Answer: True where it was ``before``."""

    session: str
    before: bytes
    after: bytes


class ForgetSession(Op, frozen=True, kw_only=True):
    """Forget all that a session remembers; its tasks and its bill stay. Answer: True where there is such a session."""

    session: str


class PruneTask(Op, frozen=True, kw_only=True):
    """Take away what a finished task holds: payloads of its events, journal, results, input, answers. Its row with its
    bill, its usage lines and the headers of its events stay, so that proofs hold. ``archive`` says where it all went.
    Answer: True where it was finished and not pruned before; a task under way is left alone.
    """

    id: str
    time: int
    archive: str = ""


class SweepMessages(Op, frozen=True, kw_only=True):
    """Delete the messages that no task refers to any more. Answer: how many, or -1 where tasks are under way: what they
    have said is not referred to yet, so nothing is deleted then; nor is what is younger than an hour.
    """

    time: int
