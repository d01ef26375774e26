"""Budget arithmetic: what a call may need, what a set of scopes says to it, and every decision about money.

Amounts come in two units that are always judged together: tokens, and pico-dollars (10⁻¹² USD).
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from multiagent.core.usage import Rates

ScopeKind = Literal["request", "agent", "task", "session", "key", "user", "tenant", "model"]
Window = Literal["none", "day", "week", "month"]

LEAST_OUTPUT: Final = 256
"""A lowered max output is never less than this many tokens."""

ALERT_PERCENT: Final = 80

PASSES: Final = 8
"""How often others may pass one who waits."""

_DAY_MS: Final = 86_400_000


class Amount(msgspec.Struct, frozen=True):
    """Tokens and pico-dollars."""

    tokens: int = 0
    pico: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens + other.tokens, self.pico + other.pico)


class Limit(msgspec.Struct, frozen=True):
    """The most a scope may use in its window; None is no limit in that unit."""

    tokens: int | None = None
    pico: int | None = None


class ScopeRef(msgspec.Struct, frozen=True, order=True):
    """A scope in one window: ``window_start`` is its first millisecond (UTC), 0 for ``none``."""

    kind: ScopeKind
    id: str
    window: Window = "none"
    window_start: int = 0


class ScopeLimit(msgspec.Struct, frozen=True):
    """A scope and its limit, as a reservation carries them."""

    scope: ScopeRef
    limit: Limit


class ScopeState(msgspec.Struct, frozen=True):
    """What stands booked in a scope; ``closed`` after an overrun above its limit."""

    scope: ScopeRef
    limit: Limit
    used: Amount = Amount()
    held: Amount = Amount()
    closed: bool = False


class Granted(msgspec.Struct, frozen=True, tag="granted"):
    """The reservation stands."""


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Only holds of others stand in the way, in these scopes."""

    scopes: tuple[ScopeRef, ...]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Used plus need is over the limit of this scope: waiting cannot help. ``room`` is what is left without holds."""

    scope: ScopeRef
    room: Limit


Verdict = Granted | Wait | Refused


def judge(states: Iterable[ScopeState], need: Amount) -> Verdict:
    """Return what the scopes together say to a need: the first refusal, else all waits, else granted."""
    waits: list[ScopeRef] = []
    for state in states:
        if state.closed or _over(state.limit, state.used + need):
            return Refused(state.scope, room(state))
        if _over(state.limit, state.used + state.held + need):
            waits.append(state.scope)
    return Wait(tuple(waits)) if waits else Granted()


def room(state: ScopeState) -> Limit:
    """Return what a scope has left when all holds were released (None is no limit, never below 0)."""
    if state.closed:
        return Limit(0, 0)
    tokens = None if state.limit.tokens is None else max(0, state.limit.tokens - state.used.tokens)
    pico = None if state.limit.pico is None else max(0, state.limit.pico - state.used.pico)
    return Limit(tokens, pico)


def _over(limit: Limit, amount: Amount) -> bool:
    return (limit.tokens is not None and amount.tokens > limit.tokens) or (
        limit.pico is not None and amount.pico > limit.pico
    )


class PromptBound(msgspec.Struct, frozen=True):
    """A true upper bound of a prompt's tokens.

    ``reported`` are the vendor-reported tokens of the unchanged prefix on the same model, ``new_bytes`` the UTF-8
    bytes of what is new (a token is at least one byte), ``overhead`` the vendor profile's fixed tokens.
    """

    reported: int = 0
    new_bytes: int = 0
    overhead: int = 0

    @property
    def tokens(self) -> int:
        """The bound in tokens."""
        return self.reported + self.new_bytes + self.overhead


def need(prompt_tokens: int, max_output: int, rates: Rates, n: int = 1) -> Amount:
    """Return what a call can cost at the most: ``n`` times prompt and output, at the dearest rates that can apply."""
    tokens = n * (prompt_tokens + max_output)
    pico = n * (prompt_tokens * rates.dearest_prompt + max_output * rates.completion) + rates.call
    return Amount(tokens, pico)


def fitting_output(prompt_tokens: int, rates: Rates, left: Sequence[Limit], n: int = 1) -> int:
    """Return the largest max output (tokens) whose need fits every limit; 0 where not even the prompt fits."""
    best: int | None = None
    for limit in left:
        for most in _outputs(prompt_tokens, rates, limit, n):
            best = most if best is None else min(best, most)
    return max(0, best if best is not None else 2**31)


def _outputs(prompt_tokens: int, rates: Rates, limit: Limit, n: int) -> Iterable[int]:
    if limit.tokens is not None:
        yield limit.tokens // n - prompt_tokens
    if limit.pico is not None:
        left = limit.pico - rates.call - n * prompt_tokens * rates.dearest_prompt
        if left < 0:
            yield 0
        elif rates.completion:
            yield left // (n * rates.completion)


def window_start(window: Window, now: int) -> int:
    """Return the first millisecond (UTC) of the window that ``now`` lies in; weeks begin on Monday; 0 for ``none``."""
    day = now // _DAY_MS
    if window == "none":
        return 0
    if window == "day":
        return day * _DAY_MS
    if window == "week":
        return (day - (day + 3) % 7) * _DAY_MS
    return _first_of_month(day) * _DAY_MS


def _first_of_month(day: int) -> int:
    """Return the first day (since 1970-01-01) of a day's month.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (civil_from_days).
    """
    shifted = day + 719_468
    of_era = shifted % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return day - (of_year - (153 * month + 2) // 5)


Rung = Literal["normal", "alert", "cheaper", "fewer", "partial"]


def rung(used: Amount, limit: Limit, alert_percent: int = ALERT_PERCENT) -> Rung:
    """Return how far down the ladder a task stands: from 80% alert and a cheaper tier, 90% fewer agents, 97% a
    partial answer.
    """
    percent = share(used, limit)
    if percent < alert_percent:
        return "normal"
    if percent < 85:
        return "alert"
    if percent < 90:
        return "cheaper"
    return "fewer" if percent < 97 else "partial"


def share(used: Amount, limit: Limit) -> int:
    """Return the larger share, in percent, that ``used`` has of a limit (0 where there is no limit)."""
    shares = [0]
    if limit.tokens is not None:
        shares.append(_percent(used.tokens, limit.tokens))
    if limit.pico is not None:
        shares.append(_percent(used.pico, limit.pico))
    return max(shares)


def _percent(used: int, limit: int) -> int:
    """Nothing of nothing is no share: who may spend nothing and has spent nothing is not at the end of a budget."""
    if limit == 0:
        return 100 if used else 0
    return used * 100 // limit


def split(limit: Limit, parts: int, keep_percent: int = 15) -> Limit:
    """Return each part's share of a limit when ``keep_percent`` stays back (for synthesis and repairs)."""
    if parts < 1:
        raise ValueError("a budget is split into at least one part")

    def each(amount: int | None) -> int | None:
        return None if amount is None else amount * (100 - keep_percent) // 100 // parts

    return Limit(each(limit.tokens), each(limit.pico))
