"""What of a session a new task is told, within a stated number of tokens. Pure.

Every turn is first told in few words; then those that the new query is about, and after them the newest, are told in
more, as long as it fits. Where not even few words of each fit, the oldest that the query is not about are left out,
and it is said how many. Open questions and the names of files are kept, the newest first.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from multiagent.memory.recall import kinship, numbered
from multiagent.memory.session import Memory, Turn, clipped, gist

RUNGS: Final = ((80, 80), (200, 320), (300, 1_000))
"""Characters of a turn's query and of its answer, from few words to all that is kept."""
OPEN_SHARE: Final = 0.2
"""The share of the room that open questions and file names may take."""

Measure = Callable[[str], int]
"""Tokens of a text."""


class ShownTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One earlier task: ``n`` counts from 1, the session's first."""

    n: int
    query: str
    answer: str = ""


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task is told of its session: earlier tasks in order, questions left open, names of the files that can be
    used again, and how many earlier tasks were left out for want of room.
    """

    session: str
    turns: tuple[ShownTurn, ...] = ()
    open: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    left_out: int = 0


def compact(session: str, memory: Memory, query: str, most: int, measure: Measure) -> Shown:
    """Return what a task with this query is told, of at most ``most`` tokens as ``measure`` counts its JSON."""
    aside = int(most * OPEN_SHARE)
    open_ = _newest([one for turn in memory.turns for one in turn.open], aside, measure)
    files = _newest(list(memory.files), aside, measure)
    shown = Shown(session, (), open_, files, left_out=len(memory.turns))
    room = most - measure(_json(shown)) - 4
    ranked = _ranked(memory.turns, query)
    told: dict[int, tuple[ShownTurn, int]] = {}
    for rung, chars in enumerate(RUNGS):
        for at in ranked:
            if rung and at not in told:
                continue
            turn = _told(at, memory.turns[at], chars)
            cost = measure(_json(turn)) + 1
            before = told[at][1] if at in told else 0
            if cost - before <= room:
                told[at] = (turn, cost)
                room -= cost - before
    turns = [told[at][0] for at in sorted(told)]
    return fitting(
        msgspec.structs.replace(shown, turns=tuple(turns), left_out=len(memory.turns) - len(turns)), most, measure
    )


def fitting(shown: Shown, most: int, measure: Measure) -> Shown:
    """Return it without its first turns, then without all else, as far as it must be to fit."""
    while measure(_json(shown)) > most and shown.turns:
        shown = msgspec.structs.replace(shown, turns=shown.turns[1:], left_out=shown.left_out + 1)
    if measure(_json(shown)) > most:
        return Shown(shown.session, left_out=shown.left_out)
    return shown


def _ranked(turns: Sequence[Turn], query: str) -> list[int]:
    """Positions of turns: those named by number, those about the query, the newest."""
    named = numbered(query)
    near = [kinship(query, f"{turn.query} {turn.answer} {' '.join(one.name for one in turn.files)}") for turn in turns]
    return sorted(
        range(len(turns)),
        key=lambda at: (at + 1 not in named, near[at] < 0.25, -near[at] if near[at] >= 0.25 else 0, -at),
    )


def _told(at: int, turn: Turn, chars: tuple[int, int]) -> ShownTurn:
    return ShownTurn(at + 1, clipped(turn.query, chars[0]), gist(turn.answer, chars[1]))


def _newest(texts: Sequence[str], most: int, measure: Measure) -> tuple[str, ...]:
    """The newest of the texts that fit, in their order, each once."""
    kept: list[str] = []
    for text in dict.fromkeys(reversed(texts)):
        cost = measure(_json(text)) + 1
        if cost > most:
            break
        most -= cost
        kept.append(text)
    return tuple(reversed(kept))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
