"""Who waits for a budget, in order: one line for all scopes, in which a smaller need may pass, but not for ever.

Pure: it holds tickets and answers who may try. A ticket blocks the scopes it waits for; another that needs one of
them may pass it ``PASSES`` times.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from multiagent.core.budget import PASSES, ScopeRef


@dataclass(slots=True, eq=False)
class Ticket:
    """A place in the line: the scopes that its need is held in, those that it waits for, how often it was passed."""

    scopes: frozenset[ScopeRef]
    blocked: frozenset[ScopeRef]
    passed: int = 0


@dataclass(slots=True)
class Line:
    """The waiting tickets, longest waiting first."""

    tickets: list[Ticket] = field(default_factory=list)

    def barred(self, scopes: frozenset[ScopeRef]) -> bool:
        """Tell whether a newcomer must wait: someone in its scopes has been passed as often as is fair."""
        return any(ticket.passed >= PASSES and not ticket.blocked.isdisjoint(scopes) for ticket in self.tickets)

    def join(self, scopes: frozenset[ScopeRef], blocked: Iterable[ScopeRef]) -> Ticket:
        """Take the last place."""
        ticket = Ticket(scopes, frozenset(blocked))
        self.tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give up a place."""
        if ticket in self.tickets:
            self.tickets.remove(ticket)

    def served(self, scopes: frozenset[ScopeRef], ticket: Ticket | None = None) -> None:
        """Count a grant in these scopes as a pass of everyone who waited longer; its ticket leaves the line."""
        for ahead in self.tickets:
            if ahead is ticket:
                break
            if not ahead.blocked.isdisjoint(scopes):
                ahead.passed += 1
        if ticket is not None:
            self.leave(ticket)

    def round(self, most: int = 512) -> tuple[Ticket, ...]:
        """Return who may try now, in order, such that nobody is passed too often even if all but he are served.

        A scope is shut for those behind a ticket that has been passed often enough, so a long line costs little.
        """
        chosen: list[Ticket] = []
        left: dict[Ticket, int] = {}
        ahead: dict[ScopeRef, list[Ticket]] = {}
        shut: set[ScopeRef] = set()
        for ticket in self.tickets:
            if shut.isdisjoint(ticket.scopes):
                chosen.append(ticket)
                if len(chosen) == most:
                    break
                for passed in {one for scope in ticket.scopes for one in ahead.get(scope, ())}:
                    left[passed] -= 1
                    if left[passed] <= 0:
                        shut |= passed.blocked
            left[ticket] = PASSES - ticket.passed
            if left[ticket] <= 0:
                shut |= ticket.blocked
            for scope in ticket.blocked:
                ahead.setdefault(scope, []).append(ticket)
        return tuple(chosen)
