"""Operations on places in the line before a budget's scope that several processes share; ``ops.Reserve`` takes them."""

from multiagent.storage.sql.ops import Op


class LeaveLine(Op, frozen=True, kw_only=True):
    """Give up the places that a ticket has; see ``ops.Reserve``. Nothing where one process writes."""

    ticket: str


class KeepPlaces(Op, frozen=True, kw_only=True):
    """Keep the places that these tickets have until ``expires``; see ``ops.Reserve``. Nothing for one process alone."""

    tickets: tuple[str, ...]
    expires: int
