"""How complex a query is: a score from 0 to 1 with its reasons, pure, for English and Chinese.

The score is 1 − ∏(1 − weight) over the signs found ("noisy or"), so that signs add up, never over 1, and each new sign
counts less than the one before.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from multiagent.core.plan import Mode
from multiagent.core.task import Attachment

BASE: Final = 0.1
"""Every query is at least this complex."""

_WORK: Final = re.compile(
    r"\b(?:analy[sz]\w*|compar\w*|contrast\w*|correlat\w*|summari[sz]\w*|evaluat\w*|assess\w*|investigat\w*|explor\w*|"
    r"research\w*|design\w*|plan\w*|review\w*|classif\w*|cluster\w*|group\w*|rank\w*|aggregat\w*|forecast\w*|predict\w*|"
    r"recommend\w*|explain\w*|profil\w*|audit\w*|reconcil\w*|merg\w*|join\w*|detect\w*|outliers?|anomal\w*|trends?|"
    r"distribution\w*|report\w*|strateg\w*|implement\w*|develop\w*|optimi[sz]\w*|translat\w*|extract\w*|validat\w*)\b"
    r"|分析|比较|对比|相关性?|总结|概括|归纳|评估|评价|调查|研究|探索|设计|规划|审查|分类|聚类|分组|排名|排序|汇总|预测|"
    r"推荐|建议|解释|说明|画像|核对|合并|检测|异常|离群|趋势|分布|报告|策略|实现|开发|优化|翻译|提取|验证|统计",
    re.IGNORECASE,
)
_SURE: Final = re.compile(
    r"\b(?:verif\w+|double[- ]?check\w*|cross[- ]?check\w*|fact[- ]?check\w*|peer[- ]review\w*|second opinion|"
    r"make sure|be (?:certain|sure)|audit\w*|reconcil\w*|debat\w+|critici[sz]\w+|mission[- ]critical|"
    r"must be (?:right|correct|exact))\b"
    r"|核实|核对|复核|复查|验证|校对|审计|确保(?:无误|正确)|交叉检查|务必(?:准确|正确)|第二意见|辩论",
    re.IGNORECASE,
)
_STEPS: Final = re.compile(
    r"\b(?:then|after(?:wards| that)|next|finally|first(?:ly)?|second(?:ly)?|third(?:ly)?|based on|using the result\w*|"
    r"as well as|in addition|also|furthermore|followed by)\b"
    r"|然后|接着|之后|随后|最后|首先|其次|再次|基于|根据.{0,12}结果|以及|此外|另外|同时|并且|还要|再把|再",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"\b(?:what|which|who|whom|whose|when|where|why|how)\b|什么|哪|谁|何时|为什么|为何|怎么|怎样|如何|多少|几个|是否",
    re.IGNORECASE,
)
_DEEP: Final = re.compile(
    r"\b(?:why|how|impact|cause\w*|implication\w*|trade-?offs?)\b|为什么|为何|如何|怎样|影响|原因|权衡"
)
_ITEM: Final = re.compile(r"(?m)^\s*(?:[-*•]|\(?\d{1,2}[.)、]|[一二三四五六七八九十]{1,3}[、.])\s*\S")
_INLINE_ITEM: Final = re.compile(r"(?:^|[\s:：;；])\(?\d{1,2}[)）.、]\s*\S")
_CLAUSE: Final = re.compile(r"[,;:，；：、]|\band\b|\bor\b|和|与|及", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"[.!?](?=\s|$)|[。！？]|\n+")
_CJK: Final = re.compile(r"[\u3400-\u9fff]")
_WORD: Final = re.compile(r"[A-Za-z0-9_'’-]+")


class Sign(msgspec.Struct, frozen=True):
    """One sign of complexity: how much it weighs (0–1) and what it is."""

    weight: float
    reason: str


class Complexity(msgspec.Struct, frozen=True):
    """The score, from 0 to 1 with two decimals, and what it rests on."""

    score: float
    reasons: tuple[str, ...]


def analyze(query: str, attachments: Sequence[Attachment] = ()) -> Complexity:
    """Return how complex a query with these attachments is."""
    signs = [sign for sign in (*_text_signs(query), *_file_signs(attachments)) if sign.weight > 0]
    rest = 1.0 - BASE
    for sign in signs:
        rest *= 1.0 - min(0.95, sign.weight)
    reasons = tuple(sign.reason for sign in signs) or ("a short, single question",)
    return Complexity(round(1.0 - rest, 2), reasons)


def needs_collaboration(query: str) -> bool:
    """Return whether a query asks for an answer that more than one pair of eyes has seen."""
    return _SURE.search(query) is not None


def mode(score: float, simple_below: float, complex_from: float) -> Mode:
    """Return the mode of a score: simple < ``simple_below`` ≤ standard < ``complex_from`` ≤ complex."""
    if score < simple_below:
        return "simple"
    return "standard" if score < complex_from else "complex"


def _text_signs(query: str) -> tuple[Sign, ...]:
    size = len(_CJK.findall(query)) / 1.6 + len(_WORD.findall(_CJK.sub(" ", query)))
    sentences = len([one for one in _SENTENCE.split(query) if one.strip()])
    items = max(len(_ITEM.findall(query)), len(_INLINE_ITEM.findall(query)))
    clauses = len(_CLAUSE.findall(query))
    work = sorted({found.lower() for found in _WORK.findall(query)})
    steps = len(_STEPS.findall(query))
    asks = len(_ASKS.findall(query))
    return (
        _some(min(0.5, max(0.0, (size - 6) / 120)), f"{round(size)} words"),
        _some(min(0.3, 0.1 * (sentences - 1)), f"{sentences} sentences"),
        _some(min(0.6, 0.18 * items) if items > 1 else 0.0, f"a list of {items} items"),
        _some(min(0.3, 0.05 * (clauses - 1)) if size > 6 else 0.0, f"{clauses + 1} clauses"),
        _some(min(0.6, 0.17 * len(work)), f"asks for {', '.join(work[:5])}"),
        _some(min(0.35, 0.12 * steps), f"{steps} words that order or join steps"),
        _some(min(0.4, 0.05 + 0.05 * asks) if asks else 0.0, f"{asks} question words"),
        _some(0.1 if _DEEP.search(query) else 0.0, "asks for causes or ways"),
    )


def _file_signs(attachments: Sequence[Attachment]) -> tuple[Sign, ...]:
    count = len(attachments)
    size = sum(one.size for one in attachments)
    kinds = len({one.media_type for one in attachments})
    return (
        _some(min(0.6, 0.12 + 0.15 * (count - 1)) if count else 0.0, f"{count} attachments"),
        _some(min(0.2, size / 5_000_000), f"{size} bytes to read"),
        _some(min(0.15, 0.05 * (kinds - 1)), f"{kinds} kinds of files"),
    )


def _some(weight: float, reason: str) -> Sign:
    return Sign(max(0.0, weight), reason)
