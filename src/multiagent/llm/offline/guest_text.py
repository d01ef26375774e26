"""What can be found in a text, in English and Chinese.

Runs in the sandbox, where the source of what a cell needs is part of the cell, and here, on text that a tool returned.
"""

import json
import re
from collections import Counter

from multiagent.llm.offline.guest_table import read

WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+|[\u4e00-\u9fff]")
NUMBER = r"\d+(?:[.,:]\d+)*"
STOP = frozenset(
    re.split(
        r"\s+",
        """the a an and or of to in for on with as by at from that this these those it its is are was were be been not
        no but if then than so such can may must will would should could has have had do does did you your we our they
        their he she his her any all each other which what who when where how why also into out up about more most there
        here over under between per via 的 了 是 在 和 有 与 也 不 这 那 就 都 为 以 及 或 等 对 个 中 其 到 被 把 让
        从 而 我 你 他 她 它 们 一 上 下""",
    )
)


def words(text: str) -> list[str]:
    """Return the words in lower case, and of Chinese the pairs of neighbouring characters, without stop words."""
    pairs = [run[at : at + 2] for run in re.findall(r"[\u4e00-\u9fff]+", text) for at in range(len(run) - 1)]
    plain = [one.lower() for one in WORD.findall(text) if one < "\u3000"]
    return [one for one in plain if one not in STOP] + [one for one in pairs if not STOP & set(one)]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in order, without code and tables."""
    prose = re.sub(r"(?ms)^\s*(```|~~~).*?^\s*\1", "\n\n", text)
    ends = r"\n\s*\n|(?m:^#.*\n)|\n(?=\s*(?:[-*•#|>]|\d+[.)]))"
    blocks = [re.sub(r"\s+", " ", one).strip() for one in re.split(ends, prose)]
    found = [
        one.strip()
        for block in blocks
        for one in re.split(r"(?<=[.!?])\s+(?=[\"'“(A-Z\u4e00-\u9fff])|(?<=[。！？；])", block)
    ]
    return [one for one in found if len(one) < 600 and (prosaic(one) or re.search(r"\w.*\d", one))]


def prosaic(text: str) -> bool:
    """Tell whether this has some words, and more letters than other signs."""
    return len(WORD.findall(text)) > 3 and sum(map(str.isalpha, text)) > 0.6 * len(text)


def stems(text: str) -> set[str]:
    """Return the beginnings of a text's words, and its numbers."""
    return {one[:6] for one in words(text)} | set(re.findall(NUMBER, text))


def key_sentences(text: str, query: str, count: int = 5) -> tuple[list[str], bool]:
    """Return, in order, the sentences that say most about a query's rare words, then about the text's frequent ones;
    and whether any has one of the query's words.
    """
    every = [(one, words(one), stems(one)) for one in sentences(text)]
    common = Counter(words(text))
    asked = stems(query)
    spread = Counter(stem for *_, own in every for stem in own)
    scores = [
        4 * sum(1 / spread[stem] for stem in own & asked)
        + sum(common[one] for one in set(plain)) / (len(plain) + 8) / max(common.values(), default=1)
        + 0.2 / (at + 1)
        for at, (_, plain, own) in enumerate(every)
    ]
    best = sorted(range(len(every)), key=lambda at: -scores[at])[:count]
    return [every[at][0] for at in sorted(best)], any(own & asked for *_, own in every)


def survey(text: str, query: str) -> dict[str, object]:
    """Return a text's size, headings, frequent words, key sentences, and how often it has what the query quotes."""
    heads = re.findall(
        r"(?m)^\s{0,3}#{1,6}\s+(\S.*)|^\s*(第[一二三四五六七八九十\d]+[章节条].*)",
        re.sub(r"(?ms)^```.*?^```", "", text),
    )
    key, found = key_sentences(text, query)
    quoted = re.findall(r"[\"“「']([^\"”」']{2,40})[\"”」']", query)
    return {
        "lines": len(text.splitlines()), "characters": len(text),
        "words": len(re.sub(r"[\u3000-\u9fff\uff00-\uffef]", " ", text).split()),
        "han": len(re.findall(r"[\u4e00-\u9fff]", text)),
        "paragraphs": len(re.findall(r"\S[^\n]*(?:\n\s*\n|\s*\Z)", text)),
        "headings": [(one or other).strip() for one, other in heads[:12]],
        "keywords": [[word, count] for word, count in Counter(words(text)).most_common(8) if count > 1],
        "sentences": key, "found": found,
        "absent": [one for one in re.findall(NUMBER, query) if one not in text],
        "quoted": [[one, text.lower().count(one.lower())] for one in quoted],
    }  # fmt: skip


def shape(path: str) -> str:
    """Describe a JSON file."""
    return outline(json.loads(read(path)), 0)


def outline(value: object, depth: int) -> str:
    """Describe a JSON value: objects by their keys, lists by their length and first element."""
    if isinstance(value, dict):
        inner = [key + ": " + outline(one, depth + 1) for key, one in list(value.items())[:30]]
        return "{" + (", ".join(inner) if depth < 3 else "…") + "}"
    if isinstance(value, list):
        return "[" + (str(len(value)) + " × " + outline(value[0], depth + 1) if value else "") + "]"
    return json.dumps(value, ensure_ascii=False)[:80]
