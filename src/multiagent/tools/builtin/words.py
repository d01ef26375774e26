"""Sentences and terms of English and Chinese text, without a dictionary. Pure.

English terms are words without stop words. Chinese terms are runs of two to four characters between function
characters; a run that never stands without a longer one gives way to it (after the C-value of Frantzi et al., 2000).
"""

import re
from collections import Counter
from typing import Final

# fmt: off
_ENGLISH_STOPS: Final = frozenset(
    {
        "a", "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at",
        "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "could",
        "did", "do", "does", "doing", "down", "during", "each", "few", "for", "from", "further", "had", "has",
        "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is",
        "it", "its", "itself", "just", "me", "more", "most", "my", "no", "nor", "not", "now", "of", "off",
        "on", "once", "only", "or", "other", "our", "out", "over", "own", "s", "same", "she", "should", "so",
        "some", "such", "t", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
        "those", "through", "to", "too", "under", "until", "up", "us", "very", "was", "we", "were", "what",
        "when", "where", "which", "while", "who", "whom", "why", "will", "with", "would", "you", "your",
    }
)
# fmt: on
_CHINESE_STOPS: Final = (
    "的了是在和与及或也都就而但不没有我你他她它们这那个之其于对为以从到被把将会能可要让使着过吗呢吧啊很更最还又已"
)
_SENTENCE: Final = re.compile(
    r"[^。！？!?…\n.]*(?:\.(?=\S)[^。！？!?…\n.]*)*(?:[。！？!?…]+[”’」』）)\"']*|\.+[”’)\"']*|\n|$)"
)
_ABBREVIATION: Final = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|Inc|Ltd|Co|vs|etc|e\.g|i\.e|No|Fig|St))\.$")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z'’-]*[A-Za-z]|[A-Za-z]")
_HANZI_RUN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
_SPLIT: Final = re.compile(f"[{_CHINESE_STOPS}]")
_LONGEST: Final = 4


def sentences(text: str) -> list[str]:
    """Return the sentences, each stripped; a line end ends one, an abbreviation does not."""
    found: list[str] = []
    pending = ""
    for hit in _SENTENCE.finditer(text):
        piece = hit.group()
        whole = pending + piece
        if _ABBREVIATION.search(whole):
            pending = whole
            continue
        pending = ""
        if whole.strip():
            found.append(" ".join(whole.split()))
    return [*found, " ".join(pending.split())] if pending.strip() else found


def english_words(text: str) -> list[str]:
    """Return the words in Latin letters, as written."""
    return _WORD.findall(text)


def hanzi(text: str) -> int:
    """Return the number of Chinese characters."""
    return sum(map(len, _HANZI_RUN.findall(text)))


def terms(text: str) -> Counter[str]:
    """Return how often each term occurs."""
    found = Counter(
        word.lower() for word in english_words(text) if word.lower() not in _ENGLISH_STOPS and len(word) > 1
    )
    for run in _HANZI_RUN.findall(text):
        for part in _SPLIT.split(run):
            for size in range(2, _LONGEST + 1):
                found.update(part[start : start + size] for start in range(len(part) - size + 1))
    return found


def keywords(text: str, most: int) -> list[tuple[str, int]]:
    """Return the most frequent terms with their counts; of Chinese runs inside each other, the longer of equals."""
    counted = terms(text)
    ranked = sorted(counted.items(), key=lambda item: (-_weight(*item), item[0]))
    chosen: list[tuple[str, int]] = []
    for term, count in ranked:
        if len(chosen) == most:
            break
        if term.isascii() or not any(term in other or other in term for other, _ in chosen if not other.isascii()):
            chosen.append((term, count))
    return chosen


def _weight(term: str, count: int) -> float:
    """Longer Chinese runs weigh more, but only once they are repeated: most runs seen once are no words."""
    if term.isascii():
        return float(count)
    return count * (1 + 0.45 * (len(term) - 2)) if count > 1 else 0.5
