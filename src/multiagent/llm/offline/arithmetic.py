"""Arithmetic in a query's words, as expressions for the calculator tool; nothing is computed here."""

import re
from typing import Final

NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
SPOKEN: Final = (
    (r"(?:divided by|over|除以|÷)", "/"),
    (r"(?:multiplied by|times|乘以|乘|×|·)", "*"),
    (r"(?:plus|added to|加上|加)", "+"),
    (r"(?:minus|less|减去|减|−|–)", "-"),
    (r"(?:to the power of|raised to(?: the power of)?|的?(?<=\d)次方|\^)", "**"),
    (r"squared|的平方(?!根)", "**2"),
    (r"cubed|的立方(?!根)", "**3"),
    (r"（", "("),
    (r"）", ")"),
)
CHUNK: Final = re.compile(r"(?:sqrt\(|[-+(\s]|(?<![A-Za-z\d.]))*\d[\d.\s()+*/%-]*(?:sqrt\([\d.]+\)[\d.\s()+*/%-]*)*")


def expressions(query: str) -> list[str]:
    """Return the expressions that a query asks to compute, in order; empty where it asks for none."""
    text = query.replace("，", ",").replace("＋", "+").replace("＝", "=")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    if found := _listed(text):
        return [found]
    text = re.sub(
        r"(?:the )?square root of\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)的平方根", r"sqrt(\1\2)", text, flags=re.IGNORECASE
    )
    text = re.sub(r"(\d+(?:\.\d+)?)\s*的\s*(\d+(?:\.\d+)?)\s*(?:%|％|百分之)", r"\2/100*\1", text)
    text = re.sub(
        r"(\d+(?:\.\d+)?)\s*(?:%|％|per ?cent)\s*(?:of|off?)\s*(\d+(?:\.\d+)?)", r"\1/100*\2", text, flags=re.IGNORECASE
    )
    text = re.sub(r"(\d+(?:\.\d+)?)\s*的\s*百分之\s*(\d+(?:\.\d+)?)", r"\2/100*\1", text)
    for words, sign in SPOKEN:
        text = re.sub(
            rf"\s*{words}\s*", f" {sign} " if "*" not in sign or sign == "*" else sign, text, flags=re.IGNORECASE
        )
    text = re.sub(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])", "*", text)
    text = re.sub(r"(\d+(?:\.\d+)?)\s*[%％](?!\s*\d)", r"(\1/100)", text)
    found_all = [one[0].strip().rstrip("+-*/. ") for one in CHUNK.finditer(text)]
    return [_tidy(one) for one in found_all if _asks(one)]


def _asks(chunk: str) -> bool:
    """An expression has an operator between numbers, or a root; a date or a bare number is none."""
    if re.fullmatch(r"\s*\d{4}-\d{1,2}(-\d{1,2})?\s*", chunk) or chunk.count("(") != chunk.count(")"):
        return False
    return "sqrt(" in chunk or bool(re.search(r"[\d)]\s*(?:\*\*|[-+*/%])\s*[-(\d]", chunk))


def _tidy(chunk: str) -> str:
    return re.sub(r"\s+", " ", chunk)


def _listed(text: str) -> str:
    """Sum, average or product of numbers in a list."""
    hit = re.search(
        rf"(sum|total|average|mean|product|总和|平均|之和|乘积|求和)[^\d-]{{0,16}}((?:-?{NUMBER}(?:\s*(?:,|、|and|和|与)\s*)+)+-?{NUMBER})"
        rf"|((?:-?{NUMBER}(?:\s*(?:,|、|和|与)\s*)+)+-?{NUMBER})\s*的?\s*(总和|平均|和|乘积)",
        text,
        re.IGNORECASE,
    )
    if not hit:
        return ""
    way, numbers = (hit[1] or hit[4]).lower(), re.findall(rf"-?{NUMBER}", hit[2] or hit[3])
    if way in {"product", "乘积"}:
        return " * ".join(numbers)
    joined = " + ".join(numbers)
    return f"({joined}) / {len(numbers)}" if way in {"average", "mean", "平均"} else joined
