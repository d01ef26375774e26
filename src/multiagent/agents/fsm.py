"""An agent's states, pure: ``idle → thinking → acting → observing → … → completed | failed | cancelled``, with
``waiting_approval`` on the way where a call needs a person's word.

``advance`` takes a state and what happened, and says the next state and what to do. It always ends: every turn is
counted, the last one may not call tools, and a call is made at most ``max_repeats`` times with the same arguments.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from multiagent.agents.calls import CallRef, Verdict
from multiagent.core.errors import WorkflowBroken

Phase = Literal["idle", "thinking", "acting", "waiting_approval", "observing", "completed", "failed", "cancelled"]

FINAL: Final[tuple[Phase, ...]] = ("completed", "failed", "cancelled")

ANSWER_NOW: Final = "Answer now with what you have found so far; no more tools may be called."
ANSWER_SHORT: Final = (
    "The budget does not pay for any work, nor for reading again what was done. Answer now, briefly and from what is "
    "shown here alone; guess nothing, and say what you could not find out. No tools may be called."
)
EMPTY_ANSWER: Final = "Your last message was empty. Call a tool, or write your answer."
REPEATED: Final = (
    "You have already made this call {count} times with the same arguments; its result will not change. "
    "Use the results you have, or do something else."
)
TOO_MANY: Final = "Only {most} calls are made for one message; ask again for the others if you still need them."
DENIED: Final = "This call was not allowed: {reasons}. Go on without it."
EFFECT_UNKNOWN: Final = (
    "{tool} was interrupted (step {key}), and whether it took effect is not known; it was not run again. Look where "
    "it acts: if nothing happened there, ask for it in a new task; if it happened, all that is missing is its answer."
)
INVALID: Final = "This call was not understood: {reasons}. Correct it, or go on without it."


CUT: Final = ("length", "content_filter")
"""An answer that ended so is not whole."""

MAX_CALLS: Final = 16
"""So many calls of one answer are made; the others are refused."""


class Bounds(msgspec.Struct, frozen=True):
    """``max_turns`` model calls at the most; ``max_repeats`` calls of one tool with the same arguments."""

    max_turns: int = 8
    max_repeats: int = 3


class State(msgspec.Struct, frozen=True):
    """Where an agent stands. ``calls`` are those of the last answer, ``at`` the one in hand.

    ``repeats`` counts calls by tool and arguments' hash; ``told``: it was told of a repetition before; ``last``: the
    coming turn must be its last.
    """

    phase: Phase = "idle"
    turn: int = 0
    calls: tuple[CallRef, ...] = ()
    at: int = 0
    repeats: tuple[tuple[str, int], ...] = ()
    told: bool = False
    last: bool = False


class Begun(msgspec.Struct, frozen=True):
    """The agent may start; ``last``: with a single turn."""

    last: bool = False


class Thought(msgspec.Struct, frozen=True):
    """The model has answered."""

    calls: tuple[CallRef, ...] = ()
    empty: bool = False
    finish: str = "stop"


class Checked(msgspec.Struct, frozen=True):
    """Schema and policy have spoken on the call in hand."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()


class Decided(msgspec.Struct, frozen=True):
    """A person has decided on the call in hand, or the time to do so is over."""

    approved: bool
    reason: str = ""


class Observed(msgspec.Struct, frozen=True):
    """The call in hand has its observation."""


class Resumed(msgspec.Struct, frozen=True):
    """All observations are read; ``last``: the next turn must be the last (the budget runs out)."""

    last: bool = False


class Broke(msgspec.Struct, frozen=True):
    """A step failed for good."""

    code: str
    message: str


class Stopped(msgspec.Struct, frozen=True):
    """The agent was cancelled."""


Happening = Begun | Thought | Checked | Decided | Observed | Resumed | Broke | Stopped


class Think(msgspec.Struct, frozen=True):
    """Ask the model; ``final``: without tools; ``say`` something to it first."""

    turn: int
    final: bool = False
    say: str = ""


class Check(msgspec.Struct, frozen=True):
    """Check the call at ``position`` of the last answer."""

    position: int


class Run(msgspec.Struct, frozen=True):
    """Run the call at ``position``."""

    position: int


class Refuse(msgspec.Struct, frozen=True):
    """Do not run the call at ``position``; ``text`` is its observation."""

    position: int
    text: str


class AskPerson(msgspec.Struct, frozen=True):
    """Wait for a person's word on the call at ``position``."""

    position: int


class Read(msgspec.Struct, frozen=True):
    """All calls have their observations: go on with the next turn."""


class Finish(msgspec.Struct, frozen=True):
    """The last answer's text is the agent's answer; ``partial`` where it was cut or forced."""

    partial: bool = False


class Fail(msgspec.Struct, frozen=True):
    """The agent ends without an answer."""

    code: str
    message: str


class Halt(msgspec.Struct, frozen=True):
    """The agent ends because it was told to."""


Intent = Think | Check | Run | Refuse | AskPerson | Read | Finish | Fail | Halt

LEGAL: Final[Mapping[Phase, tuple[type[Happening], ...]]] = {
    "idle": (Begun, Broke, Stopped),
    "thinking": (Thought, Broke, Stopped),
    "acting": (Checked, Observed, Broke, Stopped),
    "waiting_approval": (Decided, Broke, Stopped),
    "observing": (Resumed, Broke, Stopped),
    "completed": (),
    "failed": (),
    "cancelled": (),
}
"""What may happen in which phase; a final phase has no way out."""


def advance(state: State, happening: Happening, bounds: Bounds) -> tuple[State, Intent]:
    """Return the next state and what to do in it; WorkflowBroken where this cannot happen in this phase."""
    if not isinstance(happening, LEGAL[state.phase]):
        raise WorkflowBroken(f"{type(happening).__name__} cannot happen to an agent that is {state.phase}")
    if isinstance(happening, Stopped):
        return msgspec.structs.replace(state, phase="cancelled"), Halt()
    if isinstance(happening, Broke):
        return msgspec.structs.replace(state, phase="failed"), Fail(happening.code, happening.message)
    if isinstance(happening, Begun | Resumed):
        return _think(state, bounds, last=happening.last)
    if isinstance(happening, Thought):
        return _thought(state, happening, bounds)
    return _act(state, happening, bounds)


def _think(state: State, bounds: Bounds, *, last: bool = False, say: str = "") -> tuple[State, Intent]:
    turn = state.turn + 1
    final = last or state.last or turn >= bounds.max_turns
    forced = final and turn > 1
    words = " ".join(part for part in (say, ANSWER_NOW if forced else "") if part)
    return State("thinking", turn, (), 0, state.repeats, state.told, final), Think(turn, final, words)


def _thought(state: State, thought: Thought, bounds: Bounds) -> tuple[State, Intent]:
    if thought.calls and not state.last:
        repeats = _count(state.repeats, thought.calls)
        acting = State("acting", state.turn, thought.calls, 0, repeats, state.told)
        return _call(acting, bounds)
    if not thought.empty:
        forced = state.last and (bool(thought.calls) or state.turn > 1)
        return msgspec.structs.replace(state, phase="completed"), Finish(forced or thought.finish in CUT)
    if state.last:
        why = f"The model gave no answer in {state.turn} turns; try a more capable tier, or a simpler query."
        return msgspec.structs.replace(state, phase="failed"), Fail("MODEL_OUTPUT_INVALID", why)
    return _think(state, bounds, say=EMPTY_ANSWER)


def _act(state: State, happening: Happening, bounds: Bounds) -> tuple[State, Intent]:
    if isinstance(happening, Observed):
        return _call(msgspec.structs.replace(state, at=state.at + 1), bounds)
    if isinstance(happening, Decided):
        acting = msgspec.structs.replace(state, phase="acting")
        if happening.approved:
            return acting, Run(state.at)
        return acting, Refuse(state.at, DENIED.format(reasons=happening.reason or "a person said no"))
    if isinstance(happening, Checked):
        return _checked(state, happening)
    raise WorkflowBroken(f"an agent does not know {type(happening).__name__}")


def _checked(state: State, checked: Checked) -> tuple[State, Intent]:
    if checked.verdict == "allow":
        return state, Run(state.at)
    if checked.verdict == "approve":
        return msgspec.structs.replace(state, phase="waiting_approval"), AskPerson(state.at)
    text = DENIED if checked.verdict == "deny" else INVALID
    return state, Refuse(state.at, text.format(reasons="; ".join(checked.reasons) or "no reason given"))


def _call(state: State, bounds: Bounds) -> tuple[State, Intent]:
    """Take the call in hand; where there is none left, all are observed."""
    if state.at >= len(state.calls):
        return msgspec.structs.replace(state, phase="observing"), Read()
    if state.at >= MAX_CALLS:
        return state, Refuse(state.at, TOO_MANY.format(most=MAX_CALLS))
    call = state.calls[state.at]
    made = _made(state, call)
    if made <= bounds.max_repeats:
        return state, Check(state.at)
    said = msgspec.structs.replace(state, told=True, last=state.last or state.told)
    return said, Refuse(state.at, REPEATED.format(count=bounds.max_repeats))


def _made(state: State, call: CallRef) -> int:
    """How often a call was made, those of this answer up to this one included."""
    name = _name(call)
    before = next((count for known, count in state.repeats if known == name), 0)
    return before - sum(_name(later) == name for later in state.calls[state.at + 1 :])


def _count(repeats: tuple[tuple[str, int], ...], calls: tuple[CallRef, ...]) -> tuple[tuple[str, int], ...]:
    counts = dict(repeats)
    for call in calls:
        counts[_name(call)] = counts.get(_name(call), 0) + 1
    return tuple(counts.items())


def _name(call: CallRef) -> str:
    return f"{call.name} {call.hash}"
