"""What can be said of a text by counting: a summary of its own sentences, its size, its outline. Pure."""

import math
import re
from collections import Counter
from typing import Final

import msgspec

from multiagent.tools.builtin.words import english_words, hanzi, sentences, terms

_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_ATX: Final = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_NUMBERED: Final = re.compile(r"^(\d+(?:\.\d+)*)[.、)]?\s+(\S.{0,78})$")
_CHINESE: Final = re.compile(
    r"^\s*(?:(第[一二三四五六七八九十百零\d]+[章节篇部])|([一二三四五六七八九十]+、)|([（(][一二三四五六七八九十\d]+[）)]))\s*(\S.{0,60})$"
)
_LIST: Final = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+\S")
_TABLE: Final = re.compile(r"^\s*\|.*\|\s*$")
_LINK: Final = re.compile(r"\[[^\]]*\]\([^)\s]+\)|https?://[^\s)>\]]+")
_ITEM: Final = re.compile(r"^\s*(?:[-*+•>]|\d+[.)])\s+")
_ENDS: Final = (".", "!", "?", ":", "。", "！", "？", "：", "…")
_WIDTH: Final = 50
_REPEATS: Final = 0.6
_RELEVANT: Final = 6.0


class Counts(msgspec.Struct, frozen=True):
    """The size of a text."""

    characters: int
    characters_without_spaces: int
    english_words: int
    chinese_characters: int
    sentences: int
    paragraphs: int
    lines: int


class Heading(msgspec.Struct, frozen=True):
    """One heading: level (from 1), text, and line (from 1)."""

    level: int
    text: str
    line: int


class Structure(msgspec.Struct, frozen=True):
    """The outline of a text, and how many of what else it has."""

    headings: tuple[Heading, ...]
    paragraphs: int
    list_items: int
    table_rows: int
    code_blocks: int
    links: int


def counts(text: str) -> Counts:
    """Count."""
    return Counts(
        len(text),
        sum(not character.isspace() for character in text),
        len(english_words(text)),
        hanzi(text),
        len(sentences(text)),
        _paragraphs(text),
        len(text.splitlines()),
    )


def _paragraphs(text: str) -> int:
    return sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text))


def summary(text: str, most: int, query: str = "") -> list[str]:
    """Return at most ``most`` sentences of the text, in its order, that say most of it (or of what is asked).

    A sentence counts by how frequent its terms are in the text, less the later it stands, and by its share of the
    query's terms; one that repeats a chosen one is passed over (Luhn, 1958; Carbonell and Goldstein, 1998).
    """
    found = [sentence for sentence in sentences(_without_marks(text)) if len(sentence) > 1]
    if len(found) <= most:
        return found
    whole = terms(text)
    asked = terms(query)
    own = [terms(sentence) for sentence in found]
    scores = [_score(own[index], whole, asked, index / len(found)) for index in range(len(found))]
    chosen: list[int] = []
    for index in sorted(range(len(found)), key=lambda one: (-scores[one], one)):
        if len(chosen) == most:
            break
        if not any(_alike(own[index], own[other]) > _REPEATS for other in chosen):
            chosen.append(index)
    return [found[index] for index in sorted(chosen)]


def _score(own: Counter[str], whole: Counter[str], asked: Counter[str], place: float) -> float:
    if not own:
        return 0.0
    size = sum(own.values())
    weight = sum(math.log1p(whole[term]) for term in sorted(own)) / math.sqrt(size + 4)
    relevance = len(own.keys() & asked.keys()) / len(asked) if asked else 0.0
    return weight * (1.15 - 0.15 * place) + _RELEVANT * relevance


def _alike(one: Counter[str], other: Counter[str]) -> float:
    shared = len(one.keys() & other.keys())
    return shared / max(1, min(len(one), len(other)))


def _without_marks(text: str) -> str:
    """Leave out headings, tables, fences and list marks: they are no sentences."""
    kept: list[str] = []
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not _ATX.match(line) and not _TABLE.match(line):
            kept.append(line)
    return "\n".join(_ITEM.sub("", line) for line in _unwrapped(kept))


def _unwrapped(lines: list[str]) -> list[str]:
    """Join lines that were broken to fit a width: long, without an end of their own, and not before a new item."""
    found: list[str] = []
    broken = False
    for line in lines:
        if broken and line.strip() and not _ITEM.match(line):
            glue = "" if hanzi(found[-1][-1:]) and hanzi(line.lstrip()[:1]) else " "
            found[-1] += glue + line.strip()
        else:
            found.append(line)
        broken = len(line) >= _WIDTH and not line.rstrip().endswith(_ENDS)
    return found


def structure(text: str) -> Structure:
    """Return the outline: Markdown headings, numbered ones, and Chinese ones (第一章, 一、)."""
    headings: list[Heading] = []
    items = rows = fences = 0
    fenced = False
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if _FENCE.match(line):
            fences += 1
            fenced = not fenced
        if fenced:
            continue
        below = lines[number] if number < len(lines) else ""
        heading = _heading(line, below, number)
        if heading is not None:
            headings.append(heading)
        else:
            items += bool(_LIST.match(line))
            rows += bool(_TABLE.match(line))
    return Structure(tuple(headings), _paragraphs(text), items, rows, (fences + 1) // 2, len(_LINK.findall(text)))


def _heading(line: str, below: str, number: int) -> Heading | None:
    if hit := _ATX.match(line):
        return Heading(len(hit[1]), hit[2], number)
    if line.strip() and re.fullmatch(r"(=+|-{3,})\s*", below) and not _TABLE.match(line):
        return Heading(1 if below.startswith("=") else 2, line.strip(), number)
    if hit := _CHINESE.match(line):
        level = 1 if hit[1] else 2 if hit[2] else 3
        return None if line.rstrip().endswith(("。", "；", "，")) else Heading(level, line.strip(), number)
    if (hit := _NUMBERED.match(line)) and "." in hit[1] and not hit[2].endswith((".", "。", ";", ",")):
        return Heading(hit[1].count(".") + 1, line.strip(), number)
    return None
