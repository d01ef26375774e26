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
