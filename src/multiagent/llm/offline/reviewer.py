"""The critic and the judge: the task is done again with the same tools, and the answer is held against the result.

An answer is a list of lines. A line's facts are its numbers, the names that the recomputation knows, and words that
turn a statement round, in their order. A line is supported where its facts follow each other in one recomputed line.
"""

import re
from typing import Final

import msgspec

from multiagent.llm.offline.agent import Call, turn
from multiagent.llm.offline.request import Asked, Observation

MOST: Final = 8
"""So many corrections are told."""

_NUMBER: Final = re.compile(r"[-−]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?%?")
_MARKED: Final = re.compile(r"\*\*([^*\n]+)\*\*|`([^`\n]+)`")
_LISTED: Final = re.compile(
    r"(?:, then |; smallest is |；最小的是 |，其次 |largest is |最大的是 |at |: )([^\s,;:：，；。]+)"
)
_TURN: Final = re.compile(
    r"\b(?:no|not|none|positive|negative|rises|falls|increasing|decreasing|largest|smallest|highest|lowest|strongest|"
    r"weakest|most|least|steady)\b|没有|正相关|负相关|上升|下降|递增|递减|最大|最小|最高|最低|最强|最弱|平稳",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}", re.UNICODE)


class Ruling(msgspec.Struct, frozen=True):
    """The structured verdict that critics and judges answer with."""

    accept: bool
    reasons: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()


class Fact(msgspec.Struct, frozen=True):
    """A number or a name in a line; ``places`` are a number's decimals."""

    text: str
    value: float | None = None
    places: int = 0

    def says(self, other: "Fact") -> bool:
        """Whether this, in an answer, is what the other, recomputed, is: a number may be rounded."""
        if self.value is None or other.value is None:
            return self.text == other.text
        return abs(self.value - other.value) <= 0.5000001 * 10.0**-self.places * (self.places < other.places) + 1e-9


def review(given: Asked, seen: list[Observation], tools: frozenset[str], room: int) -> Call | str:
    """Return the next call of the recomputation, or the ruling as JSON."""
    alone = given if given.query else msgspec.structs.replace(given, query=given.task.instruction)
    told = turn(alone, seen, tools, room)
    if isinstance(told, Call):
        return told
    return msgspec.json.encode(rule(given.answer, told, chinese=alone.chinese, checked=bool(seen))).decode()


def rule(answer: str, found: str, *, chinese: bool, checked: bool) -> Ruling:
    """Hold an answer against what was found; ``checked`` false: no tool was asked, so nothing is known."""
    names = _names(found)
    mine = [(line, facts(line, names)) for line in found.splitlines() if facts(line, names)]
    if not checked or not mine:
        reason = "这里没有可以重新计算的内容。" if chinese else "Nothing here can be recomputed."
        return Ruling(accept=True, reasons=(reason,))
    wrong: list[str] = []
    claims = [(line, facts(line, names)) for line in answer.splitlines()]
    for line, claimed in claims:
        if any(one.value is not None for one in claimed) and not any(_within(claimed, known) for _, known in mine):
            wrong.append(_correction(line, claimed, mine, chinese=chinese))
    wrong += _turned(claims, mine, chinese=chinese)
    wrong += _left_out(claims, mine, chinese=chinese)
    count = sum(bool(claimed) for _, claimed in claims)
    if wrong:
        reason = (
            f"重新计算后，{len(wrong)} 处与答案不符。" if chinese else f"Recomputed: {len(wrong)} claims do not hold."
        )
        return Ruling(accept=False, reasons=(reason,), corrections=tuple(dict.fromkeys(wrong))[:MOST])
    reason = f"重新计算后，{count} 行都相符。" if chinese else f"Recomputed: all {count} lines hold."
    return Ruling(accept=True, reasons=(reason,))


def facts(line: str, names: frozenset[str]) -> list[Fact]:
    """Return the facts of a line in their order."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", line.replace("−", "-"))
    found: list[tuple[int, int, Fact]] = []
    for name in sorted(names, key=len, reverse=True):
        for hit in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            if not any(start < hit.end() and hit.start() < end for start, end, _ in found):
                found.append((hit.start(), hit.end(), Fact(name)))
    for hit in (*_NUMBER.finditer(text), *_TURN.finditer(text)):
        if not any(start < hit.end() and hit.start() < end for start, end, _ in found):
            found.append((hit.start(), hit.end(), _fact(hit[0])))
    return [fact for _, _, fact in sorted(found, key=lambda one: one[0])]


def _fact(text: str) -> Fact:
    try:
        value = float(text.rstrip("%"))
    except ValueError:
        return Fact(text.casefold())
    return Fact(text, value, len(text.rstrip("%").partition(".")[2]))


def _names(found: str) -> frozenset[str]:
    """The names that a recomputation speaks of: what it marks, and what it lists."""
    marked = [one or other for one, other in _MARKED.findall(found)]
    listed = _LISTED.findall(found)
    return frozenset(name.strip() for name in (*marked, *listed) if _WORD.search(name))


def _within(claimed: list[Fact], known: list[Fact]) -> bool:
    """Whether the claimed facts are among the known ones, in that order."""
    rest = iter(known)
    return all(any(one.says(other) for other in rest) for one in claimed)


def _turned(claims: list[tuple[str, list[Fact]]], mine: list[tuple[str, list[Fact]]], *, chinese: bool) -> list[str]:
    """Lines without a number that say of known names what no recomputed line says of them."""
    wrong = []
    for line, claimed in claims:
        names = [one for one in claimed if one.value is None]
        if len(claimed) == len(names) and len(names) > 1 and not any(_within(names, known) for _, known in mine):
            wrong.append(_correction(line, claimed, mine, chinese=chinese))
    return wrong


def _left_out(claims: list[tuple[str, list[Fact]]], mine: list[tuple[str, list[Fact]]], *, chinese: bool) -> list[str]:
    """An answer that holds no fact at all, or not the result of a sum that was asked for."""
    every = [one for _, claimed in claims for one in claimed]
    results = [known[-1] for line, known in mine if re.search(r"= \*\*[^*]+\*\*$", line)]
    gone = [one.text for one in results if not any(other.says(one) for other in every)]
    if gone or not every:
        told = "、".join(gone) if chinese else ", ".join(gone)
        if chinese:
            return [f"答案缺少结果 {told}" if gone else "答案没有给出任何结果"]
        return [f"the answer lacks the result {told}" if gone else "the answer states no result"]
    return []


def _correction(line: str, claimed: list[Fact], mine: list[tuple[str, list[Fact]]], *, chinese: bool) -> str:
    """Say what stands nearest to a line that does not hold."""
    nearest = max(mine, key=lambda one: sum(any(fact.says(other) for other in one[1]) for fact in claimed))[0]
    said, found = line.strip(" -*")[:200], nearest.strip(" -")[:300]
    return f"“{said}” 应为：{found}" if chinese else f'"{said}" should be: {found}'
