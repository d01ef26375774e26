"""Questions about earlier tasks of a session, answered from what the session remembers and from nothing else."""

import re
from typing import Final

import msgspec

_WORD: Final = re.compile(r"[a-z0-9_.%-]{2,}|[\u4e00-\u9fff]+")
_NUMBER: Final = re.compile(
    r"(?:task|question|query|turn|任务|问题)\s*#?\s*(\d{1,4})|第\s*(\d{1,4}|[一二三四五])\s*[个次]?"
    r"|\b(first|second|third|fourth|fifth|last|previous)\s+(?:task|question|query|answer|turn|one)|(上一个|刚才|最后)",
    re.IGNORECASE,
)
_ORDINALS: Final = ("first 一", "second 二", "third 三", "fourth 四", "fifth 五")
_NAMES: Final = {name: at for at, names in enumerate(_ORDINALS, 1) for name in names.split()}
_ABOUT: Final = re.compile(
    r"\b(?:earlier|before|previous(?:ly)?|again|remember|session|so far|asked|told|you said|was|were|did)\b"
    r"|之前|刚才|上次|前面|记得|会话|问过",
    re.IGNORECASE,
)
_FILLERS: Final = (
    "the a an of in on at to is are was were what which who how many much did do does and or for with from my i it "
    "that this there be as by me tell please answer question task earlier again session you said asked told before"
)
_COMMON: Final = frozenset(_FILLERS.split())
LEAST: Final = 0.34
"""The least share of the query's words that a turn must have to be about it."""


class Turn(msgspec.Struct, frozen=True):
    """An earlier task, by its number in the session."""

    n: int = 0
    query: str = ""
    answer: str = ""


class Session(msgspec.Struct, frozen=True):
    """The ``<session>`` section."""

    turns: tuple[Turn, ...] = ()
    open: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def recall(session: Session, query: str) -> Turn | None:
    """Return the turn that a query is about: the one it names by number, or the one that shares most of its words;
    None where it is about none.
    """
    answered = [turn for turn in session.turns if turn.answer]
    if not answered:
        return None
    named = _numbered(query, answered[-1].n)
    for turn in answered:
        if turn.n == named:
            return turn
    asked = _words(query)
    if not asked:
        return None
    best = max(answered, key=lambda turn: (_share(asked, turn), -turn.n))
    least = LEAST if _ABOUT.search(query) else 2 * LEAST
    return best if _share(asked, best) >= least else None


def _share(asked: frozenset[str], turn: Turn) -> float:
    return len(asked & _words(f"{turn.query} {turn.answer}")) / len(asked)


def _numbered(query: str, last: int) -> int:
    hit = _NUMBER.search(query)
    if hit is None:
        return 0
    name = next(one for one in hit.groups() if one).lower()
    return int(name) if name.isdecimal() else _NAMES.get(name, last)


def _words(text: str) -> frozenset[str]:
    found: set[str] = set()
    for word in _WORD.findall(text.lower()):
        if word.isascii():
            stem = word.strip(".-")
            found.add(stem[:-1] if len(stem) > 3 and stem.endswith("s") else stem)
        else:
            found.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
    return frozenset(found - _COMMON - {""})
