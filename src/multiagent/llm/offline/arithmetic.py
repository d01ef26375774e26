"""Arithmetic in a query's words, as expressions for the calculator tool; nothing is computed here.

An expression is claimed only where it uses every number of its clause: a part of what is asked is a wrong answer.
"""

import ast
import functools
import json
import re
from importlib import resources
from typing import Final

N: Final = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
LIST: Final = (
    rf"\b(sum|total|average|mean|product)\s+(?:of\s+)?(?:the\s+)?(?:numbers?\s*)?:?\s*((?:-?{N}(?:\s*(?:,|and)\s*)+)+-?{N})"
    rf"|((?:-?{N}(?:\s*(?:,|、|和|与)\s*)+)+-?{N})\s*的\s*(总和|平均|和|乘积)"
)
RUN: Final = re.compile(rf"(?:sqrt\(|[-+*/%()\s]|{N})+")
ASKED: Final = re.compile(
    r"(?:^|\bis|what's|compute|calculate|evaluate|work out|=|计算|算一下|算|求|[:：])\W*$", re.IGNORECASE
)
CLAUSE: Final = re.compile(
    r"[?!;？！；。\n]|[.,](?=\s|$)|\b(?:and|also|then|plus)\b|另外|并且|以及|还有", re.IGNORECASE
)


def expressions(query: str) -> list[str]:
    """Return the expressions that a query asks to compute, in order; empty where it asks for none."""
    text = query.replace("，", ", ").replace("＋", "+").replace("＝", "=")
    text = re.sub(LIST, _listed, text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    for pattern, form in _rewritten():
        text = pattern.sub(form, text)
    # A clause that stands so in the query has signs as they were written, not as words.
    found = [one for part in CLAUSE.split(text) for one in _claimed(part, lone=part.strip() in query)]
    return [re.sub(r"\s+", " ", one) for one in found]


def other(query: str) -> str:
    """Return a query without its clauses of arithmetic."""
    parts = re.split(f"({CLAUSE.pattern})", query, flags=re.IGNORECASE)
    return "".join(one + mark for one, mark in zip(parts[::2], [*parts[1::2], ""], strict=True) if not expressions(one))


@functools.cache
def _rewritten() -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns of ``arithmetic.json``, N for a number, in order, with what is written for them."""
    rows = json.loads((resources.files(__package__) / "arithmetic.json").read_text(encoding="utf-8"))
    return [(re.compile(pattern.replace("N", N), re.IGNORECASE), form) for pattern, form in rows]


def _claimed(clause: str, *, lone: bool) -> list[str]:
    """Return a clause's expressions, or none where a number is in none of them.

    A lone - or / may be a range, a date or a telephone number: it counts where nothing else is said than to compute it.
    """
    found: list[str] = []
    for run in RUN.finditer(clause):
        text = run[0].strip()
        before, after = clause[: run.start()], clause[run.end() :]
        if not re.search(r"\d", text):
            continue
        touches = (
            re.search(r"[A-Za-z\d_.,:#$€£¥@]$", before)
            if run[0][0] != " "
            else re.search(r"(?<![\'’])\b[A-Za-z] ?$", before)
        )
        touches = touches or re.match(r"[A-Za-z\d_.,:#$€£¥@]", after) if run[0][-1] != " " else touches
        sure = (
            re.search(r"[*+%(]|sqrt", text)
            or not lone
            or (ASKED.search(before) and re.match(r"\W*(?:等于|是)?(?:多少)?\W*$", after))
        )
        if touches or not sure or not _whole(text):
            return []
        found.append(text)
    return found


def _whole(text: str) -> bool:
    """Whether this is an expression with an operator or a root, and no date."""
    if re.match(r"[-+]\s|\d{4}-\d\d?-\d|\d\d?/\d\d?/\d{4}$", text):
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return any(isinstance(one, ast.BinOp | ast.Call) for one in ast.walk(tree))


def _listed(hit: re.Match[str]) -> str:
    """Sum, average or product of numbers in a list."""
    way, numbers = (hit[1] or hit[4]).lower(), re.findall(rf"-?{N}", hit[2] or hit[3])
    plain = [one.replace(",", "") for one in numbers]
    if all(re.fullmatch(r"(?:19|20)\d\d", one) for one in plain):
        return hit[0]
    if way in {"product", "乘积"}:
        return " " + " * ".join(plain) + " "
    joined = " + ".join(plain)
    return f" ({joined}) / {len(numbers)} " if way in {"average", "mean", "平均"} else f" {joined} "
