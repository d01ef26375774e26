"""How much a text has to do with another: shared words, and turns named by their number. Pure."""

import re
from typing import Final

_WORD: Final = re.compile(r"[a-z0-9_.%-]{2,}|[\u4e00-\u9fff]+")
_FILLERS: Final = (
    "the a an of in on at to is are was were what which who how many much did do does and or for with from my i it "
    "that this there be as by me tell please answer question task earlier again"
)
_COMMON: Final = frozenset(_FILLERS.split())
_ORDINALS: Final = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "一": 1,
    "二": 2,
    "三": 3,
    "四": 4,
    "五": 5,
}
_NUMBERED: Final = re.compile(
    r"(?:task|question|query|turn|任务|问题)\s*#?\s*(\d{1,4})|第\s*(\d{1,4}|[一二三四五])\s*[个次]?\s*(?:任务|问题|回答)"
    r"|\b(first|second|third|fourth|fifth)\s+(?:task|question|query|answer|turn|thing)",
    re.IGNORECASE,
)


def words(text: str) -> frozenset[str]:
    """Return the words of a text that tell something; of Chinese, its pairs of characters."""
    found: set[str] = set()
    for word in _WORD.findall(text.lower()):
        if word.isascii():
            stem = word.strip(".-")
            found.add(stem[:-1] if len(stem) > 3 and stem.endswith("s") else stem)
        else:
            found.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
    return frozenset(found - _COMMON - {""})


def kinship(query: str, text: str) -> float:
    """Return 0–1: the share of the query's words that the text has."""
    asked = words(query)
    return len(asked & words(text)) / len(asked) if asked else 0.0


def numbered(query: str) -> frozenset[int]:
    """Return the numbers of the turns that a query names: "task 1", "my first question", "第一个问题"."""
    found: set[int] = set()
    for groups in _NUMBERED.findall(query):
        name = next(one for one in groups if one).lower()
        found.add(int(name) if name.isdecimal() else _ORDINALS[name])
    return frozenset(found)
