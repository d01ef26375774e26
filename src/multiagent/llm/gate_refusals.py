"""What a caller is told whose reservation is not granted."""

from multiagent.core.budget import Amount, Refused, ScopeRef, Wait
from multiagent.core.errors import BudgetBusy, BudgetExceeded
from multiagent.core.money import show_usd


def _name(scope: ScopeRef) -> str:
    window = "" if scope.window == "none" else f" of this {scope.window}"
    return f"the budget of {scope.kind} {scope.id}{window}"


def exceeded(verdict: Refused, least: Amount) -> BudgetExceeded:
    """Return the error of a need that is over a limit for good."""
    room = verdict.room
    left = [f"{room.tokens} tokens"] if room.tokens is not None else []
    left += [show_usd(room.pico)] if room.pico is not None else []
    return BudgetExceeded(
        f"{_name(verdict.scope)} has {' and '.join(left) or 'nothing'} left, and the call needs up to "
        f"{least.tokens} tokens and {show_usd(least.pico)}; raise the budget or ask for less",
        details={"scope": f"{verdict.scope.kind}/{verdict.scope.id}", "need_tokens": least.tokens},
    )


def busy(wait: Wait) -> BudgetBusy:
    """Return the error of a wait that reached its end."""
    scope = wait.scopes[0] if wait.scopes else None
    return BudgetBusy(
        f"{_name(scope) if scope else 'a budget'} is held by calls in flight until the deadline; try again",
        details={"scope": f"{scope.kind}/{scope.id}" if scope else ""},
    )
