"""What a session remembers: one turn a task, its facts and open questions, and the files it was given. Pure.

Stored as one JSON object, a member a task (``{"<task>": turn}``), so that tasks that end at the same time add to it
without reading it first.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from multiagent.core.label import Labels, join
from multiagent.core.task import Attachment

QUERY_CHARS: Final = 300
ANSWER_CHARS: Final = 1_000
"""The most that is kept of one task's query and answer."""
OPEN_MOST: Final = 5
"""The most open questions that one task leaves."""
OLD_CHARS: Final = 160
"""What is kept of an old task's answer once a session has many."""
KEPT_FULL: Final = 100
KEPT_MOST: Final = 2_000
"""Turns that are kept as they are, and turns that are kept at all."""

_FACT: Final = re.compile(r"\d|\*\*|`")
_QUESTION: Final = re.compile(r"[?？]\s*$")
_SPACES: Final = re.compile(r"\s+")


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task of a session: what was asked, the facts of its answer, what it left open, the files it had."""

    task: str
    query: str
    answer: str = ""
    open: tuple[str, ...] = ()
    files: tuple[Attachment, ...] = ()
    labels: Labels = ()


class Memory(msgspec.Struct, frozen=True):
    """All of a session's turns, oldest first: tasks' ids grow with time."""

    turns: tuple[Turn, ...] = ()

    @property
    def files(self) -> dict[str, Attachment]:
        """The files of the session by name, the newest of each name, as they were when their task had them."""
        return {one.name: one for turn in self.turns for one in turn.files}

    @property
    def labels(self) -> Labels:
        """What all of it is marked with."""
        return join(*(turn.labels for turn in self.turns))


_DECODER: Final = msgspec.json.Decoder(dict[str, Turn])


def read(context: bytes) -> Memory:
    """Return what is stored of a session, oldest first. Raises msgspec.MsgspecError where it is none of ours."""
    found = _DECODER.decode(context or b"{}")
    return Memory(tuple(sorted(found.values(), key=lambda turn: turn.task)))


def written(memory: Memory) -> bytes:
    """Return what ``read`` reads."""
    return msgspec.json.encode({turn.task: turn for turn in memory.turns})


def turn_of(task: str, query: str, answer: str, missing: Iterable[str], files: Iterable[Attachment]) -> Turn:
    """Return what is kept of a task: the facts of its answer, and as open what is missing or was asked back."""
    asked = (line.strip("-*# ") for line in answer.splitlines() if _QUESTION.search(line))
    left = [one.strip() for one in (*missing, *asked) if one.strip()]
    if not answer.strip() and not left:
        left = [query]
    open_ = tuple(clipped(one, QUERY_CHARS) for one in dict.fromkeys(left))
    return Turn(task, clipped(query, QUERY_CHARS), gist(answer, ANSWER_CHARS), open_[:OPEN_MOST], tuple(files))


def clipped(text: str, most: int) -> str:
    """Return one line of at most ``most`` characters."""
    line = _SPACES.sub(" ", text).strip()
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def gist(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters: all of it, or the lines that hold facts (numbers, emphasis, code)
    and then the first others, in their order, as far as they fit; a line that does not fit is clipped.
    """
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    whole = "\n".join(lines)
    if len(whole) <= most:
        return whole
    ranked = sorted(range(len(lines)), key=lambda at: (not _FACT.search(lines[at]), at))
    kept: dict[int, str] = {}
    room = most
    for at in ranked:
        if len(lines[at]) + 1 <= room:
            kept[at] = lines[at]
            room -= len(lines[at]) + 1
    if not kept:
        return clipped(lines[ranked[0]], most) if most else ""
    return "\n".join(kept[at] for at in sorted(kept))


def shortened(memory: Memory) -> Memory:
    """Return a memory that is bounded: old turns keep their facts in few words, the oldest of very many are dropped."""
    kept = memory.turns[-KEPT_MOST:]
    old = max(0, len(kept) - KEPT_FULL)
    less = (msgspec.structs.replace(turn, answer=gist(turn.answer, OLD_CHARS)) for turn in kept[:old])
    return Memory((*less, *kept[old:]))
