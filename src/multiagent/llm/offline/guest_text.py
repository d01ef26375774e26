"""What can be found in a text, in English and Chinese.

Runs in the sandbox, where the source of what a cell needs is part of the cell, and here, on text that a tool returned.
"""

import json
import re
from collections import Counter

from multiagent.llm.offline.guest_table import read

Said = dict[str, object]
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+|[\u4e00-\u9fff]")
STOP = frozenset(
    "the a an and or of to in for on with as by at from that this these those it its is are was were be been being not no but if "
    "then than so such can may must will would should could has have had do does did you your we our they their he she his her i "
    "any all each other which what who when where how why also into out up about more most there here over under between "
    "的 了 是 在 和 有 与 也 不 这 那 就 都 为 以 及 或 等 对 个 中 其 到 被 把 让 从 而 我 你 他 她 它 们 一 上 下".split()
)


def words(text: str) -> list[str]:
    """Return the words in lower case, and for Chinese the pairs of neighbouring characters, without stop words."""
    found = [one.lower() for one in re.findall(r"[A-Za-z][A-Za-z'’-]+", text)]
    for run in re.findall(r"[\u4e00-\u9fff]+", text):
        found += [run[at : at + 2] for at in range(len(run) - 1)]
    return [
        one
        for one in found
        if one not in STOP and len(one) > 1 and not any(letter in STOP for letter in one if letter > "\u3000")
    ]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, one line breaks joined, in order."""
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*•#]|\d+[.)]))", text)
    joined = [re.sub(r"\s+", " ", one).strip() for one in blocks]
    parts = [
        part for one in joined for part in re.split(r"(?<=[.!?])\s+(?=[\"'“(A-Z\u4e00-\u9fff])|(?<=[。！？；])", one)
    ]
    return [part.strip() for part in parts if len(WORD.findall(part)) > 2]


def key_sentences(text: str, query: str, count: int = 5) -> list[str]:
    """Return the sentences that say most about a query's words, or else the text's frequent words, in order."""
    every = sentences(text)
    common = Counter(words(text))
    asked = {one[:6] if one < "\u3000" else one for one in words(query)}
    spread = Counter(stem for one in every for stem in {word[:6] for word in words(one)})
    scored: list[tuple[float, int]] = []
    for at, one in enumerate(every):
        own = set(words(one))
        near = sum(1 / spread[word[:6]] for word in own if word[:6] in asked)
        weight = sum(common[word] for word in own) / (len(own) + 8) / (1 + max(common.values(), default=1))
        scored.append((near * 4 + weight - 0.001 * at / len(every), at))
    best = sorted(at for _, at in sorted(scored, key=lambda pair: -pair[0])[:count])
    return [every[at][:400] for at in best]


def survey(text: str, query: str) -> Said:
    """Return a text's structure: lines, words, characters, paragraphs, headings, frequent words, key sentences."""
    lines = text.splitlines()
    found = [
        line.strip() for line in lines if re.match(r"\s{0,3}#{1,6}\s+\S|第[一二三四五六七八九十\d]+[章节条]", line)
    ]
    letters = WORD.findall(text)
    return {
        "lines": len(lines), "words": len([one for one in letters if one < "\u3000"]),
        "han": len([one for one in letters if one > "\u3000"]), "characters": len(text),
        "paragraphs": len([one for one in re.split(r"\n\s*\n", text) if one.strip()]),
        "headings": [one.lstrip("# ").strip() for one in found[:12]],
        "keywords": [[word, count] for word, count in Counter(words(text)).most_common(8) if count > 1],
        "sentences": key_sentences(text, query),
        "quoted": [[one, text.lower().count(one.lower())] for one in re.findall(r"[\"“「'‘]([^\"”」'’]{2,40})[\"”」'’]", query)],
    }  # fmt: skip


def shape(path: str) -> str:
    """Describe a JSON file."""
    return outline(json.loads(read(path)))


def outline(value: object, depth: int = 0) -> str:
    """Describe a JSON value: objects by their keys, lists by length and the shape of their first element."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {outline(one, depth + 1)}" for key, one in list(value.items())[:30])
        return "{" + (inner if depth < 3 else "…") + "}"
    if isinstance(value, list):
        return f"[{len(value)} × {outline(value[0], depth + 1)}]" if value else "[]"
    if isinstance(value, str):
        return f'"{value[:60]}"'
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
